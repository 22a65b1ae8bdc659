import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { call, type Exchange } from "../http/serve-routes.ts";
import { type Pair, type PairOptions, startPair } from "../support/gateway.ts";
import { testJobArn } from "../support/simulator.ts";

/** Processes are slow to start on a machine that is busy with the other tests. */
const spawning = { timeout: 60_000 };

interface Task {
  // biome-ignore lint/suspicious/noExplicitAny: tests look into any request
  readonly json: any;
  readonly text: string;
}

type Agent = (task: Task, response: ServerResponse) => unknown;

/** An HTTP agent: answers with what it returns, or as it likes. */
async function startAgent(agent: Agent) {
  const tasks: Task[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", async () => {
      const text = Buffer.concat(chunks).toString();
      const task = { text, json: JSON.parse(text) };
      tasks.push(task);
      const answer = await agent(task, response);
      if (answer !== undefined) response.end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/run`, tasks };
}

/** One turn with what turnpike gave it. */
async function turn({ json }: Task): Promise<void> {
  const { env } = json.turnpike;
  const response = await fetch(`${env.OPENAI_BASE_URL}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${env.OPENAI_API_KEY}` },
    body: JSON.stringify({
      model: "m",
      temperature: 0.9,
      messages: [{ role: "user", content: "Hi" }],
    }),
  });
  await response.text();
}

type Settings = Record<string, unknown>;

interface SetUp {
  readonly ingress?: Settings;
  readonly agent: Settings;
  readonly server?: Settings;
  readonly overrides?: PairOptions["overrides"];
  readonly shutdown?: Settings;
}

async function setUp({ ingress, agent, server = {}, overrides, shutdown = {} }: SetUp) {
  const config = {
    ingress: { enabled: true, port: 0, respond: "completed", ...ingress },
    agent,
    server,
    shutdown,
  };
  const pair = await startPair({ config, ...(overrides ? { overrides } : {}) });
  onTestFinished(() => pair[Symbol.asyncDispose]());
  const url = pair.gateway.ingressUrl ?? "";
  return {
    pair,
    ask: (path: string, exchange?: Exchange) => call(`${url}${path}`, exchange),
    captured: (id: string) => pair.simulator.trajectory(testJobArn, id),
  };
}

const request = (rolloutId: string) => ({
  prompt: "What is 2 + 2?",
  metadata: { jobArn: testJobArn, rolloutId },
  inferenceParams: { temperature: 0 },
});

async function view(pair: Pair, id: string) {
  return (await call(`${pair.gateway.url}/rollouts/${id}`)).json;
}

describe("the ingress with an HTTP agent", spawning, () => {
  it.each(["/rollout", "/invocations"])(
    "runs a rollout for POST %s: request, turns, completion, reward",
    async (path) => {
      const agent = await startAgent(async (task) => {
        await turn(task);
        return { reward: 0.5, note: "ignored" };
      });
      const { ask, captured, pair } = await setUp({ agent: { url: agent.url } });
      const answer = await ask(path, { body: request("r-1") });
      expect(answer.status).toBe(200);
      expect(answer.json).toMatchObject({
        status: "completed",
        id: "r-1",
        job_arn: testJobArn,
        outcome: "finished",
        detail: "the agent answered 200",
        reported: { status: "ready", reward: 0.5 },
        rollout: { state: "rewarded", turns: { finished: 1 } },
      });
      expect(captured("r-1")).toMatchObject({
        state: "REWARD_RECEIVED",
        turnCount: 1,
        rewards: [0.5],
      });
      expect((await view(pair, "r-1")).agent).toMatchObject({ outcome: "finished" });
      expect((await view(pair, "r-1")).enforced).toMatchObject({
        temperature: { asked: 0.9, sent: 0 },
      });
    },
  );

  it("hands the agent the request's bytes as they came, with the turnpike fields", async () => {
    const agent = await startAgent(() => ({ reward: 1 }));
    const { ask } = await setUp({ agent: { url: agent.url } });
    const text = `{"id": "r-1",  "seed": 9223372036854775807, "prompt": "[{\\"role\\": \\"user\\"}]"}`;
    await ask("/rollout", { body: text });
    const [task] = agent.tasks;
    expect(task?.text.startsWith(text.slice(0, -1))).toBe(true);
    expect(task?.json.turnpike).toMatchObject({
      id: "r-1",
      job_arn: testJobArn,
      prompt: [{ role: "user" }],
      env: { OPENAI_API_KEY: "rollout-r-1" },
    });
  });

  it.each<[string, Agent, string, string]>([
    [
      "an error",
      (_task, response) => void response.writeHead(500).end("boom"),
      "crashed",
      "the agent answered 500",
    ],
    [
      "a broken connection",
      (_task, response) => void response.destroy(),
      "crashed",
      "the connection to the agent broke",
    ],
    [
      "no JSON",
      (_task, response) => void response.end("done"),
      "invalid_answer",
      "the agent answered 200, but the body is not JSON",
    ],
    [
      "no reward",
      () => ({ ok: true }),
      "invalid_answer",
      "the reward in the agent's answer cannot be used. Give `reward`",
    ],
    ["a bare number", () => 1, "invalid_answer", "Give `reward`"],
    [
      "a reward that is none",
      () => ({ reward: "high" }),
      "invalid_answer",
      '`reward` is the text "high"',
    ],
    [
      "more rewards than turns",
      async (task) => turn(task).then(() => ({ rewards: [1, 1] })),
      "invalid_answer",
      "`rewards` has 2 values, but turnpike saw 1 finished turn",
    ],
    ["silence", () => undefined, "timed_out", "the agent had not answered by its deadline"],
  ])("reports %s as ready with 0, and says what happened", async (_what, does, outcome, detail) => {
    const agent = await startAgent(does);
    const { ask, captured, pair } = await setUp({
      agent: { url: agent.url },
      ingress: { deadline_ms: 1_000 },
    });
    const answer = await ask("/rollout", { body: request("r-1") });
    expect(answer.json).toMatchObject({ outcome, reported: { status: "ready", reward: 0 } });
    expect(answer.json.detail).toContain(detail);
    expect(captured("r-1")).toMatchObject({ rewards: [0] });
    expect((await view(pair, "r-1")).agent.outcome).toBe(outcome);
    expect(pair.logged()).toContain(`"outcome":"${outcome}"`);
    const metrics = (await call(`${pair.gateway.opsUrl}/metrics`)).text;
    expect(metrics).toContain(`turnpike_ingress_rollouts_total{outcome="${outcome}"} 1`);
  });

  it.each([
    ["failed", 200, "FAILED"],
    ["leave", 502, undefined],
  ])("reports failures as agent.on_failure %s says", async (policy, status, state) => {
    const agent = await startAgent((_task, response) => void response.writeHead(500).end());
    const { ask, captured } = await setUp({ agent: { url: agent.url, on_failure: policy } });
    const answer = await ask("/rollout", { body: request("r-1") });
    expect(answer.status).toBe(status);
    expect(captured("r-1")?.state).toBe(state);
    if (status === 502) {
      expect(answer.json.error).toMatchObject({
        code: "agent_failed",
        message: "Nothing was reported of this rollout: the agent answered 500.",
      });
    }
  });

  it("reports what the agent itself calls failed", async () => {
    const agent = await startAgent(() => ({ status: "failed" }));
    const { ask, captured } = await setUp({ agent: { url: agent.url } });
    const answer = await ask("/rollout", { body: request("r-1") });
    expect(answer.json).toMatchObject({ outcome: "finished", reported: { status: "failed" } });
    expect(captured("r-1")).toMatchObject({ state: "FAILED", rewards: null });
  });

  it("waits for an agent that is still starting", async () => {
    const early = await startAgent(() => undefined);
    const url = new URL(early.url);
    const port = Number(url.port) + 1;
    const { ask } = await setUp({ agent: { url: `http://127.0.0.1:${port}/run` } });
    const asked = ask("/rollout", { body: request("r-1") });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const server = createServer((_request, response) => response.end('{"reward": 1}'));
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    expect((await asked).json).toMatchObject({ outcome: "finished" });
    server.closeAllConnections();
    server.close();
  });

  it("answers at once with `accepted`, and reports later", async () => {
    const go = Promise.withResolvers<void>();
    const agent = await startAgent(async () => {
      await go.promise;
      return { reward: 1 };
    });
    const { ask, pair, captured } = await setUp({
      agent: { url: agent.url },
      ingress: { respond: "accepted" },
    });
    const answer = await ask("/invocations", { body: request("r-1") });
    expect([answer.status, answer.json]).toEqual([
      200,
      { status: "accepted", id: "r-1", job_arn: testJobArn, state: "queued" },
    ]);
    expect((await ask("/ping")).json).toEqual({ status: "HealthyBusy" });
    go.resolve();
    while ((await view(pair, "r-1")).state !== "rewarded")
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(captured("r-1")).toMatchObject({ rewards: [1] });
    expect((await ask("/ping")).json).toEqual({ status: "Healthy" });
  });

  it("joins the same request to the first, and starts no second agent, while it runs and after", async () => {
    const go = Promise.withResolvers<void>();
    const agent = await startAgent(async () => {
      await go.promise;
      return { reward: 1 };
    });
    const { ask } = await setUp({ agent: { url: agent.url } });
    const first = ask("/rollout", { body: request("r-1") });
    const again = ask("/rollout", { body: { ...request("r-1"), attempt: 2 } });
    while (agent.tasks.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const other = await ask("/rollout", { body: { ...request("r-1"), prompt: "another" } });
    expect([other.status, other.json.error.code]).toEqual([409, "rollout_conflict"]);
    go.resolve();
    expect((await again).json).toEqual((await first).json);
    expect((await ask("/rollout", { body: request("r-1") })).json).toEqual((await first).json);
    expect(agent.tasks).toHaveLength(1);
  });

  it("starts no agent for a rollout that is completed already", async () => {
    const agent = await startAgent(() => ({ reward: 1 }));
    const { ask, pair } = await setUp({ agent: { url: agent.url } });
    const body = { status: "ready", reward: 0.5 };
    await call(`${pair.gateway.url}/rollouts/r-1/complete`, { body });
    expect((await ask("/rollout", { body: request("r-1") })).json).toMatchObject({
      status: "completed",
      detail: "it was completed already",
      reported: { status: "ready", rewards: [0.5] },
    });
    expect(agent.tasks).toEqual([]);
  });

  it("runs so many at once, lets so many wait, and refuses the next", async () => {
    const go = Promise.withResolvers<void>();
    const agent = await startAgent(async () => {
      await go.promise;
      return { reward: 1 };
    });
    const bounds = { max_concurrent: 2, max_queued: 1 };
    const { ask, pair } = await setUp({ agent: { url: agent.url }, ingress: bounds });
    const asked = ["r-1", "r-2", "r-3"].map((id) => ask("/rollout", { body: request(id) }));
    while ((await ask("/health")).json.queued !== 1)
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await ask("/health")).json).toEqual({ status: "ok", running: 2, queued: 1 });
    const refused = await ask("/rollout", { body: request("r-4") });
    expect(refused.status).toBe(429);
    expect(refused.headers).toMatchObject({ "retry-after-ms": "5000" });
    expect(refused.json.error).toMatchObject({
      code: "too_many_rollouts",
      message:
        "2 rollouts are running and 1 are waiting, as many as this turnpike takes (ingress.max_concurrent, ingress.max_queued). This one was not started.",
    });
    expect((await call(`${pair.gateway.url}/rollouts/r-4`)).status).toBe(404);
    const metrics = (await call(`${pair.gateway.opsUrl}/metrics`)).text;
    expect(metrics).toMatch(/turnpike_ingress_running 2\n[\s\S]*turnpike_ingress_queued 1\n/);
    go.resolve();
    for (const answer of await Promise.all(asked)) expect(answer.json.outcome).toBe("finished");
    expect((await ask("/rollout", { body: request("r-4") })).status).toBe(200);
  });

  it("leaves a rollout open for which no agent was free by its deadline: it has no turn", async () => {
    const agent = await startAgent(() => undefined);
    const bounds = { max_concurrent: 1, deadline_ms: 300 };
    const { ask, captured } = await setUp({
      agent: { url: agent.url, on_failure: "failed" },
      ingress: bounds,
    });
    const [first, second] = await Promise.all(
      ["r-1", "r-2"].map((id) => ask("/rollout", { body: request(id) })),
    );
    expect(first?.json.outcome).toBe("timed_out");
    expect(second?.status).toBe(502);
    expect(second?.json.error.message).toContain("no agent was free for it by its deadline");
    expect(captured("r-2")).toBeUndefined();
  });

  it("says so when the reward cannot be delivered", async () => {
    const agent = await startAgent(async ({ json }) => {
      const url = json.turnpike.base_url.replace("/v1", "/complete");
      await call(url, { body: { status: "failed" } });
      return { reward: 1 };
    });
    const { ask, pair } = await setUp({ agent: { url: agent.url } });
    const answer = await ask("/rollout", { body: request("r-1") });
    expect(answer.status).toBe(409);
    expect(pair.logged()).toContain("rollout-not-reported");
  });

  it("names every problem of a request, and starts nothing", async () => {
    const agent = await startAgent(() => ({ reward: 1 }));
    const { ask } = await setUp({ agent: { url: agent.url } });
    const metadata = { jobArn: testJobArn, endpoint: "https://evil.example" };
    const answer = await ask("/rollout", { body: { metadata, prompt: 1 } });
    expect(answer.status).toBe(400);
    expect(answer.json.error.message).toMatch(
      /has 3 problems.*`id` is missing.*evil\.example.*`prompt` is 1/,
    );
    expect(agent.tasks).toEqual([]);
  });

  it("ends agents at shutdown, reports them, and refuses new rollouts meanwhile", async () => {
    const agent = await startAgent(() => undefined);
    const { ask, pair, captured } = await setUp({
      agent: { url: agent.url },
      shutdown: { drain_ms: 600 },
    });
    const asked = ask("/rollout", { body: request("r-1") });
    while (agent.tasks.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const closed = pair.gateway.close();
    const late = await ask("/rollout", { body: request("r-2") });
    expect([late.status, late.json.error.code]).toEqual([503, "shutting_down"]);
    expect((await ask("/health")).status).toBe(503);
    expect((await asked).json).toMatchObject({
      outcome: "interrupted",
      detail: "turnpike was shut down before the agent answered",
      reported: { status: "ready", reward: 0 },
    });
    await closed;
    expect(captured("r-1")).toMatchObject({ rewards: [0] });
  });

  it("asks for a key where the gateway does, and gives it to its agent", async () => {
    const agent = await startAgent(async (task) => {
      await turn(task);
      return { reward: 1 };
    });
    const server = { api_keys: ["a-gateway-key"] };
    const { ask } = await setUp({ agent: { url: agent.url }, server });
    expect((await ask("/rollout", { body: request("r-1") })).status).toBe(401);
    const headers = { authorization: "Bearer a-gateway-key" };
    const answer = await ask("/rollout", { body: request("r-1"), headers });
    expect(answer.json).toMatchObject({ outcome: "finished", rollout: { turns: { finished: 1 } } });
  });

  it("takes any Host and no key with ingress.without_key, but no web page", async () => {
    const agent = await startAgent(() => ({ reward: 1 }));
    const server = { api_keys: ["a-gateway-key"] };
    const { ask } = await setUp({
      agent: { url: agent.url },
      server,
      ingress: { without_key: true },
    });
    const headers = { host: "runtime.internal:8080" };
    expect((await ask("/ping", { headers })).status).toBe(200);
    expect((await ask("/invocations", { body: request("r-1"), headers })).status).toBe(200);
    const page = await ask("/ping", { headers: { ...headers, origin: "https://evil.example" } });
    expect(page.json.error.code).toBe("origin_not_allowed");
  });

  it("answers any other route with what it has", async () => {
    const { ask } = await setUp({ agent: { url: "http://127.0.0.1:1" } });
    const answer = await ask("/v1/chat/completions", { body: {} });
    expect(answer.status).toBe(404);
    expect(answer.json.error.message).toContain(
      "POST /rollout, POST /invocations, GET /health and GET /ping",
    );
  });
});

describe("the ingress with a command", spawning, () => {
  const node = process.execPath;
  const script = (does: string) => [
    node,
    "--input-type=module",
    "-e",
    `
    const { env } = process;
    const chunks = []; for await (const chunk of process.stdin) chunks.push(chunk);
    const task = JSON.parse(Buffer.concat(chunks));
    const say = (content) => fetch(env.OPENAI_BASE_URL + "/chat/completions", { method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer " + env.OPENAI_API_KEY },
      body: JSON.stringify({ model: "m", stream: true, messages: [{ role: "user", content }] }) }).then((r) => r.text());
    ${does}`,
  ];
  const environment = {
    PATH: `${dirname(node)}:/usr/bin:/bin`,
    MINE: "kept",
    TURNPIKE_API_KEY: "ours",
  };

  it("runs it once per rollout, with the request on its standard input, and reads the reward from its output", async () => {
    const command = script(`
      await say(task.prompt);
      const ok = env.ROLLOUT_ID === "r-1" && env.ROLLOUT_PROMPT === task.prompt && env.MINE === "kept" && !env.TURNPIKE_API_KEY && task.turnpike.id === "r-1";
      console.log("log"); console.log(JSON.stringify({ reward: ok ? 1 : -1 }));`);
    const { ask, captured } = await setUp({ agent: { command }, overrides: { environment } });
    const answer = await ask("/rollout", { body: request("r-1") });
    expect(answer.json).toMatchObject({
      outcome: "finished",
      reported: { status: "ready", reward: 1 },
    });
    expect(captured("r-1")).toMatchObject({ turnCount: 1, rewards: [1] });
  });

  it("gives a reward command the rollout's own turns", async () => {
    const reward_command = `node -e 'const t = JSON.parse(require("fs").readFileSync(0)); console.log(t.turns.length === 2 && t.turns.every((x) => x.response.choices[0].message.content.includes(t.id)) ? t.turns.length : -1)'`;
    const command = script('await say(env.ROLLOUT_ID); await say(env.ROLLOUT_ID + " again");');
    const { ask } = await setUp({ agent: { command, reward_command }, overrides: { environment } });
    const answers = await Promise.all(
      ["r-1", "r-2"].map((id) => ask("/rollout", { body: request(id) })),
    );
    expect(answers.map(({ json }) => json.reported)).toEqual([
      { status: "ready", reward: 2 },
      { status: "ready", reward: 2 },
    ]);
  });

  it.each([
    [["sh", "-c", "exit 3"], "crashed", "the agent exited with 3"],
    [["no-such-program"], "crashed", "the agent cannot be started: spawn no-such-program ENOENT"],
    [["sh", "-c", "cat >/dev/null; echo done"], "invalid_answer", 'The last line is "done"'],
    [["sh", "-c", "sleep 60 & sleep 60"], "timed_out", "the agent was ended at its deadline"],
  ])("reports %j as %s", async (command, outcome, detail) => {
    const { ask } = await setUp({
      agent: { command },
      ingress: { deadline_ms: 2_000 },
      overrides: { environment },
    });
    const { json } = await ask("/rollout", { body: request("r-1") });
    expect(json).toMatchObject({ outcome, reported: { status: "ready", reward: 0 } });
    expect(json.detail).toContain(detail);
  });

  it("is ended at shutdown", async () => {
    const command = ["sh", "-c", "sleep 60"];
    const { ask, pair } = await setUp({ agent: { command }, overrides: { environment } });
    const asked = ask("/rollout", { body: request("r-1") });
    while ((await ask("/health")).json.running !== 1)
      await new Promise((resolve) => setTimeout(resolve, 5));
    const closed = pair.gateway.close();
    expect((await asked).json).toMatchObject({ outcome: "interrupted" });
    await closed;
  });
});
