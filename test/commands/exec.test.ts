import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { chat, startPair } from "../support/gateway.ts";
import { testJobArn } from "../support/simulator.ts";

const main = join(import.meta.dirname, "../../src/main.ts");
const folder = mkdtempSync(join(tmpdir(), "turnpike-exec-"));

/** Processes are slow to start on a machine that is busy with the other tests. */
const spawning = { timeout: 60_000 };

/** An agent that any machine with node has: one turn, then what it is told to do. */
const agent = `
  const response = await fetch(process.env.OPENAI_BASE_URL + "/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer " + process.env.OPENAI_API_KEY },
    body: JSON.stringify({ model: "default", temperature: 0.9, stream: true, messages: [{ role: "user", content: "Hi" }] }),
  });
  await response.text();
  if (response.status !== 200) process.exit(99);
`;
const agentThat = (does: string) => [
  process.execPath,
  "--input-type=module",
  "-e",
  `${agent}\n${does}`,
];

interface Run {
  readonly input?: string;
  readonly variables?: Record<string, string>;
  /** Called with each piece of standard output. */
  readonly onOutput?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

async function exec(args: readonly string[], { input, variables = {}, onOutput }: Run = {}) {
  const child = spawn(process.execPath, [main, "exec", ...args], {
    env: {
      HOME: folder,
      PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
      AWS_EC2_METADATA_DISABLED: "true",
      ...variables,
    },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    onOutput?.(stdout, (signal) => child.kill(signal));
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

const simulated = (...args: string[]) => ["--simulate", "--trajectory-id", "t-1", ...args];

describe("turnpike exec", spawning, () => {
  it("runs a command as one rollout: environment set, output passed through, completed without a reward", async () => {
    const show =
      'console.log([process.env.ROLLOUT_ID, process.env.OPENAI_CUSTOM_HEADERS, process.env.MINE].join("|")); console.error("to stderr")';
    const run = await exec(simulated("--", ...agentThat(show)), { variables: { MINE: "kept" } });
    expect(run.stdout).toBe(
      "t-1|X-Amzn-SageMaker-Job-Arn: arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/dev\nX-Amzn-SageMaker-Trajectory-Id: t-1|kept\n",
    );
    expect(run.stderr).toBe(
      "to stderr\nturnpike: rollout t-1: the agent exited with 0; reported ready, without a reward\nturnpike: simulated: 1 turn captured, state READY, rewards null\n",
    );
    expect(run.code).toBe(0);
  });

  it("passes standard input and the command's own flags through, with or without --", async () => {
    const run = await exec(simulated("sh", "-c", "cat; echo $0", "--timeout"), { input: "said" });
    expect([run.code, run.stdout]).toEqual([0, "said--timeout\n"]);
  });

  it.each([
    ["--reward", "0.5", "", "[0.5]"],
    [
      "--reward-from",
      "stdout",
      'console.log("log"); console.log(\'{"rewards": [0.25]}\'); console.log("bye")',
      "[0.25]",
    ],
    [
      "--reward-file",
      join(folder, "reward.json"),
      `(await import("node:fs")).writeFileSync(${JSON.stringify(join(folder, "reward.json"))}, "0.75")`,
      "[0.75]",
    ],
    ["--reward-command", `cat > ${join(folder, "trajectory.json")}; echo 1`, "", "[1]"],
  ])("takes the reward from %s", async (flag, value, does, rewards) => {
    const run = await exec(simulated(flag, value, "--", ...agentThat(does)));
    expect(run.stderr).toContain(`state REWARD_RECEIVED, rewards ${rewards}\n`);
    expect(run.code).toBe(0);
  });

  it("gives a reward command the trajectory: prompt, requests as sent and answers put together", async () => {
    const file = join(folder, "judged.json");
    const request = { id: "t-1", prompt: "2 + 2", inference_params: { temperature: 0 } };
    const run = await exec(
      [
        "--simulate",
        "--request",
        "-",
        "--reward-command",
        `cat > ${file}; echo 1`,
        "--",
        ...agentThat(""),
      ],
      { input: JSON.stringify(request) },
    );
    expect(run.code).toBe(0);
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
      id: "t-1",
      prompt: "2 + 2",
      rollout: { turns: { finished: 1 }, enforced: { temperature: { asked: 0.9, sent: 0 } } },
      turns: [
        {
          request: { temperature: 0, messages: [{ content: "Hi" }] },
          response: {
            choices: [{ message: { role: "assistant", content: expect.stringContaining("“Hi”") } }],
          },
          finished: true,
        },
      ],
    });
  });

  it("takes a rollout request from a file, in the trainer's dialect, and hands its prompt to the agent", async () => {
    const file = join(folder, "request.json");
    const metadata = { jobArn: testJobArn, rolloutId: "r-7" };
    writeFileSync(file, JSON.stringify({ prompt: "What is 2 + 2?", metadata }));
    const run = await exec([
      "--simulate",
      "--request",
      file,
      "--",
      "sh",
      "-c",
      'echo "$ROLLOUT_PROMPT"',
    ]);
    expect(run.stdout).toBe("What is 2 + 2?\n");
    expect(run.stderr).toContain("rollout r-7:");
  });

  it.each([
    ["ready", "reported ready with reward 0 (--on-failure)", "state REWARD_RECEIVED, rewards [0]"],
    ["failed", "reported failed, without a reward (--on-failure)", "state FAILED, rewards null"],
    ["leave", "nothing is reported (--on-failure)", "state PENDING, rewards null"],
  ])(
    "reports an agent that exits with 7 as --on-failure %s says, and exits with 7",
    async (policy, said, state) => {
      const run = await exec(
        simulated("--on-failure", policy, "--reward", "1", "--", ...agentThat("process.exit(7)")),
      );
      expect(run.stderr).toContain(`rollout t-1: the agent exited with 7; ${said}`);
      expect(run.stderr).toContain(state);
      expect(run.code).toBe(7);
    },
  );

  it("ends the agent and its children at the timeout, and still reports", async () => {
    // Its output stays open for as long as a child lives.
    const run = await exec(simulated("--timeout", "1", "--", "sh", "-c", "sleep 60 & sleep 60"));
    expect(run.stderr).toContain(
      "the agent was ended at its deadline after 1 s; reported ready with reward 0",
    );
    expect(run.code).toBe(143);
  });

  it("passes signals on, and reports what the agent makes of them", async () => {
    const trap = 'trap "echo caught; exit 0" INT; echo up; while :; do sleep 0.1; done';
    let sent = false;
    const run = await exec(simulated("--reward", "1", "--", "sh", "-c", trap), {
      onOutput(text, kill) {
        if (sent || !text.includes("up")) return;
        sent = true;
        kill("SIGINT");
      },
    });
    expect(run.stdout).toBe("up\ncaught\n");
    expect([run.code, run.stderr.includes("rewards [1]")]).toEqual([0, true]);
  });

  it("exits with 128 and the signal's number for an agent that a signal ended", async () => {
    const run = await exec(simulated("--", "sh", "-c", "kill -KILL $$"));
    expect(run.code).toBe(137);
    expect(run.stderr).toContain("the agent was ended by SIGKILL; reported ready with reward 0");
  });

  it("does not exit with 0 when the reward cannot be read, and says what was there", async () => {
    const run = await exec(simulated("--reward-from", "stdout", "--", "echo", "done"));
    expect(run.code).toBe(1);
    expect(run.stderr).toContain(
      'the agent exited with 0, but no reward in the agent\'s output: no line of it is a number, {"reward": …} or {"rewards": […]}. The last line is "done"; reported ready with reward 0 (--on-failure)',
    );
  });

  it("reports nothing for a command that cannot be started", async () => {
    const run = await exec(simulated("--", "no-such-program"));
    expect(run.code).toBe(127);
    expect(run.stderr).toContain(
      "spawn no-such-program ENOENT; nothing is reported, the rollout t-1 is still open",
    );
  });

  it("uses another gateway with --gateway, its key included", async () => {
    await using pair = await startPair({ config: { server: { api_keys: ["a-gateway-key"] } } });
    const args = ["--gateway", pair.gateway.url, "--trajectory-id", "t-9", "--reward", "1"];
    const run = await exec([...args, "--", ...agentThat("")], {
      variables: { TURNPIKE_API_KEY: "a-gateway-key" },
    });
    expect(run.stderr).toBe(
      "turnpike: rollout t-9: the agent exited with 0; reported ready with reward 1\n",
    );
    expect(pair.simulator.trajectory(testJobArn, "t-9")).toMatchObject({
      turnCount: 1,
      rewards: [1],
    });
    await (await chat(pair.gateway, "other")).text();
  });

  it("says what the gateway refuses, and starts nothing", async () => {
    await using pair = await startPair();
    const refused = await exec([
      "--gateway",
      pair.gateway.url,
      "--trajectory-id",
      "..",
      "--",
      "echo",
      "ran",
    ]);
    expect([refused.code, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toMatch(
      /^turnpike: The trajectory id in `id` is "\.\.", which URLs resolve away/,
    );
    const gone = await exec([
      "--gateway",
      "http://127.0.0.1:1",
      "--trajectory-id",
      "t",
      "--",
      "echo",
      "ran",
    ]);
    expect([gone.code, gone.stdout]).toEqual([1, ""]);
    expect(gone.stderr).toMatch(
      /^turnpike: the gateway http:\/\/127\.0\.0\.1:1 cannot be reached: /,
    );
  });

  it("does not exit with 0 when the report is refused", async () => {
    await using pair = await startPair();
    const complete = `await fetch(process.env.OPENAI_BASE_URL.replace("/v1", "/complete"), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ status: "failed" }) });`;
    const run = await exec([
      "--gateway",
      pair.gateway.url,
      "--trajectory-id",
      "t-1",
      "--",
      ...agentThat(complete),
    ]);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain("IT COULD NOT BE REPORTED: ");
  });

  it("names every mistake of its command line, and exits with 2", async () => {
    const run = await exec([
      "--reward",
      "x",
      "--on-failure",
      "y",
      "--timeout",
      "0",
      "--gateway",
      "z",
      "--request",
      join(folder, "none"),
    ]);
    expect(run.code).toBe(2);
    for (const text of [
      "COMMAND: is missing: turnpike exec [options] -- COMMAND…",
      '--gateway: must be an http or https URL, not "z"',
      '--on-failure: must be one of ready, failed, leave, not "y"',
      '--reward: must be a finite number, not "x"',
      "--timeout: must be a number of seconds up to 2000000",
      "--request: ",
    ]) {
      expect(run.stderr).toContain(text);
    }
    const bare = await exec(["--", "true"]);
    expect(bare.code).toBe(2);
    expect(bare.stderr).toContain(
      "--trajectory-id: is missing: name the rollout by --trajectory-id or --request, or try it with --simulate",
    );
    expect(bare.stderr).toContain("--job-arn: is missing");
  });
});
