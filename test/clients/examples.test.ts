/** Every example that needs no Python, as a user starts it, against a gateway that asks for a key. */
import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { TrajectorySummary } from "../../src/simulator/trajectories.ts";
import { TurnpikeProcess } from "../commands/turnpike-process.ts";

const run = promisify(execFile);
const examples = join(import.meta.dirname, "../../examples");
const devArguments = ["dev", "--port", "0", "--ops-port", "0", "--simulator-port", "0"];
const apiKey = "a-key-of-the-examples";
const patience = 60_000;

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly trajectories: readonly TrajectorySummary[];
}

/** Runs an example to its end beside a gateway of its own. */
async function outcomeOf(command: string, file: string): Promise<Outcome> {
  await using turnpike = new TurnpikeProcess(devArguments, { TURNPIKE_API_KEY: apiKey });
  const [, simulator = ""] = await turnpike.printed(/^Turns +curl (\S+)\/_simulator/mu);
  const [, baseUrl = ""] = await turnpike.printed(/OPENAI_BASE_URL=(\S+)/u);
  const { stdout, stderr } = await run(command, [join(examples, file)], {
    env: { PATH: process.env["PATH"], OPENAI_BASE_URL: baseUrl, OPENAI_API_KEY: apiKey },
  });
  const answer = await fetch(`${simulator}/_simulator/trajectories`);
  return { stdout, stderr, trajectories: (await answer.json()) as TrajectorySummary[] };
}

const hasShellTools = ["bash", "curl", "jq"].every(
  (tool) => spawnSync(tool, ["--version"]).status === 0,
);

async function expectRewarded(command: string, file: string): Promise<void> {
  const { stdout, trajectories } = await outcomeOf(command, file);
  const [, id] = /^rollout (\S+)$/mu.exec(stdout) ?? [];
  expect(trajectories).toMatchObject([
    { trajectoryId: id, state: "REWARD_RECEIVED", turnCount: 2, rewards: [1] },
  ]);
  expect(stdout).toMatch(/^answer .*shipped on Monday/mu);
  expect(stdout).toMatch(/^reward {2}1, 2 turns, /mu);
}

test("examples/agent-openai.ts has its turns captured and its reward received", {
  timeout: patience,
}, async () => {
  await expectRewarded(process.execPath, "agent-openai.ts");
});

test.runIf(hasShellTools)(
  "examples/agent-curl.sh has its turns captured and its reward received",
  { timeout: patience },
  async () => {
    await expectRewarded("bash", "agent-curl.sh");
  },
);

test("examples/batch.ts completes and rewards all 64 rollouts, in groups of 8", {
  timeout: patience,
}, async () => {
  const { stdout, stderr, trajectories } = await outcomeOf(process.execPath, "batch.ts");
  expect(trajectories).toHaveLength(64);
  const groups = Object.groupBy(
    trajectories,
    ({ trajectoryId }) => trajectoryId.split("-")[0] ?? "",
  );
  expect(Object.values(groups).map((group) => group?.length)).toEqual(Array(8).fill(8));
  for (const { state, turnCount, rewards } of trajectories) {
    expect({ state, turnCount }).toEqual({ state: "REWARD_RECEIVED", turnCount: 2 });
    // The answer is right and no word longer than the scripted model makes it.
    expect(rewards?.[0]).toBeGreaterThan(0.9);
  }
  expect(stderr).toContain("64/64");
  expect(stdout.trimEnd().split("\n")).toHaveLength(10);
  expect(stdout).toMatch(/^all, in .* 64 +128 /mu);
});
