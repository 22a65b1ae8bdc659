/** The flags of `exec` that are no configuration keys; apart from its code, which is loaded only when it runs. */

/** For commander: declaration, description. */
export const execOptions = [
  [
    "--request <file>",
    "rollout request as JSON, in any dialect of the trainer's; - is standard input",
  ],
  ["--gateway <url>", "use this gateway in place of one of its own"],
  ["--simulate", "against the embedded simulator; needs no AWS account"],
  ["--reward <number>", "reward of an agent that exits with 0"],
  ["--reward-file <file>", "… is the last JSON line of this file"],
  [
    "--reward-command <cmd>",
    "… is the last JSON line this shell command prints; it gets the trajectory as JSON on its standard input",
  ],
  ["--reward-from <what>", "… is the last JSON line the agent itself prints: `stdout`"],
  [
    "--on-failure <status>",
    "what any other exit code reports: ready (with reward 0.0; the default, since one failed rollout can fail the whole job), failed, or leave",
  ],
  ["--timeout <seconds>", "ends the agent after this time; the rollout is reported all the same"],
] as const;
