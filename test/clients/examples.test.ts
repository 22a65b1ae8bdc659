/** Every example that needs no Python, as a user starts it, against a gateway that asks for a key. */
import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { RolloutView } from "../../src/rollouts/rollout-view.ts";
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
  /** As the gateway shows them. */
  readonly rollouts: readonly RolloutView[];
  /** As the simulator captured them. */
  readonly trajectories: readonly TrajectorySummary[];
}

/** Runs an example to its end beside a gateway of its own, which has an ingress where the example is its agent. */
async function outcomeOf(command: string, file: string, agentPort?: number): Promise<Outcome> {
  const ingressArguments =
    agentPort === undefined
      ? []
      : ["--ingress", "--ingress-port", "0", "--agent-url", `http://127.0.0.1:${agentPort}`];
  await using turnpike = new TurnpikeProcess([...devArguments, ...ingressArguments], {
    TURNPIKE_API_KEY: apiKey,
  });
  const [, simulator = ""] = await turnpike.printed(/^Turns +curl (\S+)\/_simulator/mu);
  const [, baseUrl = ""] = await turnpike.printed(/OPENAI_BASE_URL=(\S+)/u);
  const { stdout, stderr } = await run(command, [join(examples, file)], {
    env: {
      PATH: process.env["PATH"],
      OPENAI_BASE_URL: baseUrl,
      OPENAI_API_KEY: apiKey,
      INGRESS_URL: /, ingress (\S+)/u.exec(turnpike.stdout)?.[1],
      AGENT_PORT: agentPort?.toString(),
    },
  });
  const headers = { authorization: `Bearer ${apiKey}` };
  const listed = await fetch(new URL("/rollouts?limit=100", baseUrl), { headers });
  const { data: rollouts } = (await listed.json()) as { data: RolloutView[] };
  const answer = await fetch(`${simulator}/_simulator/trajectories`);
  const trajectories = (await answer.json()) as TrajectorySummary[];
  return { stdout, stderr, rollouts, trajectories };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
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

test("examples/batch.ts has the ingress run and reward all 64 rollouts, in groups of 8", {
  timeout: patience,
}, async () => {
  const { stdout, stderr, rollouts, trajectories } = await outcomeOf(
    process.execPath,
    "batch.ts",
    await freePort(),
  );
  expect(rollouts).toHaveLength(64);
  for (const { agent, enforced } of rollouts) {
    // Only the ingress knows how an agent ended.
    expect(agent).toMatchObject({ outcome: "finished", detail: "the agent answered 200" });
    expect(enforced).toMatchObject({ temperature: { turns: 2 } });
  }
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

test("examples/batch.ts says in a line how to start an ingress where there is none", async () => {
  const [ingress, agent] = [await freePort(), await freePort()];
  const failing = run(process.execPath, [join(examples, "batch.ts")], {
    env: { INGRESS_URL: `http://127.0.0.1:${ingress}`, AGENT_PORT: `${agent}` },
  });
  await expect(failing).rejects.toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(
      `^\nhttp://127.0.0.1:${ingress}/health cannot be reached. Start turnpike: npm start -- --ingress --agent-url http://127.0.0.1:${agent}\n$`,
    ),
  });
});
