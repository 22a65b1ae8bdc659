import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Simulator } from "../../src/simulator/simulator.ts";
import type { CapturedTurn } from "../../src/simulator/turns.ts";
import { lifecycle, sample, startTestSimulator, testJobArn } from "../support/simulator.ts";

const control = (simulator: Simulator, path: string, init: RequestInit = {}) =>
  fetch(`${simulator.url}/_simulator/${path}`, init);

function turnsIn(text: string): CapturedTurn[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as CapturedTurn);
}

/** The status of a GET with headers that fetch would not send. */
function statusWith(simulator: Simulator, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const path = "/_simulator/trajectories";
    const get = request({ port: simulator.port, host: "127.0.0.1", path, headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    get.once("error", reject);
    get.end();
  });
}

test("turns are exported as JSON lines, all or one trajectory's", async () => {
  await using simulator = await startTestSimulator();
  await sample(simulator, "a");
  await sample(simulator, "b c");
  const all = await control(simulator, "turns.jsonl");
  expect(all.headers.get("content-type")).toBe("application/x-ndjson");
  expect(turnsIn(await all.text()).map((turn) => turn.trajectoryId)).toEqual(["a", "b c"]);
  const one = await control(simulator, "turns.jsonl?trajectory=b%20c");
  const [turn] = turnsIn(await one.text());
  expect(turn).toEqual(simulator.trajectory(testJobArn, "b c")?.turns[0]);
});

test("an exported turn has the request's bytes and no credentials", async () => {
  await using simulator = await startTestSimulator();
  await sample(simulator, "t");
  const text = await (await control(simulator, "turns.jsonl")).text();
  const [turn] = turnsIn(text);
  expect(turn?.request.body).toEqual({
    text: '{"model":"test-model","messages":[{"role":"user","content":"hello"}]}',
  });
  expect(turn?.request.headers).toHaveProperty("content-type", "application/json");
  expect(text).not.toMatch(/AWS4-HMAC|AKIDSIMULATOR/u);
});

test("trajectories are listed with their lifecycle, without their turns", async () => {
  await using simulator = await startTestSimulator();
  await sample(simulator, "t");
  await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t", ClientToken: "c" });
  const list = (await (await control(simulator, "trajectories")).json()) as unknown[];
  expect(list).toMatchObject([
    { trajectoryId: "t", state: "READY", turnCount: 1, clientTokens: ["c"] },
  ]);
  expect(list[0]).not.toHaveProperty("turns");
});

test("faults are put, shown with their counts, and cleared", async () => {
  await using simulator = await startTestSimulator();
  const rules = [{ kind: "throttle", times: 1 }];
  const put = await control(simulator, "faults", { method: "PUT", body: JSON.stringify(rules) });
  expect(put.status).toBe(200);
  expect((await sample(simulator, "t")).status).toBe(429);
  expect(await (await control(simulator, "faults")).json()).toEqual([
    { kind: "throttle", times: 1, matched: 1, injected: 1 },
  ]);
  await control(simulator, "faults", { method: "DELETE" });
  expect(await (await control(simulator, "faults")).json()).toEqual([]);
});

test.for([
  ["{}", "expected array"],
  ["nonsense", "Unexpected token"],
  ['[{"kind":"nothing"}]', "[0].kind"],
  ['[{"kind":"throttle","tmies":1}]', "tmies"],
  ['[{"kind":"reset-at-byte","byte":-1}]', "[0].byte"],
] as const)("faults of %s are refused and change nothing", async ([body, fragment]) => {
  await using simulator = await startTestSimulator({ faults: [{ kind: "quota" }] });
  const put = await control(simulator, "faults", { method: "PUT", body });
  expect(put.status).toBe(400);
  expect(((await put.json()) as { error: string }).error).toContain(fragment);
  expect((await sample(simulator, "t")).status).toBe(402);
});

test("stats count requests, errors and turns", async () => {
  await using simulator = await startTestSimulator();
  await sample(simulator, "t");
  await sample(simulator, "t", { stream: true }).then((response) => response.arrayBuffer());
  await lifecycle(simulator, "update-reward", { TrajectoryId: "t", Rewards: [1] });
  await simulator.waitFor("finished", (event) => event.operation === "UpdateReward");
  const stats = await (await control(simulator, "stats")).json();
  expect(stats).toMatchObject({
    requests: { Sample: 1, SampleWithResponseStream: 1, UpdateReward: 1 },
    errors: { ConflictException: 1 },
    turns: 2,
    openRequests: 0,
  });
});

test("an unknown control endpoint says which there are", async () => {
  await using simulator = await startTestSimulator();
  const response = await control(simulator, "nothing");
  expect(response.status).toBe(404);
  expect(await response.text()).toContain("turns.jsonl");
});

test("control is refused under a foreign Host, from a foreign Origin, and across sites", async () => {
  await using simulator = await startTestSimulator({ allowedHosts: ["simulator.internal"] });
  const own = `127.0.0.1:${simulator.port}`;
  const statuses = await Promise.all([
    statusWith(simulator, { host: own }),
    statusWith(simulator, { host: "localhost:1" }),
    statusWith(simulator, { host: "[::1]:1" }),
    statusWith(simulator, { host: "simulator.internal" }),
    statusWith(simulator, { host: "rebound.example.com" }),
    statusWith(simulator, { host: own, origin: `http://${own}` }),
    statusWith(simulator, { host: own, origin: "https://example.com" }),
    statusWith(simulator, { host: own, "sec-fetch-site": "cross-site" }),
  ]);
  expect(statuses).toEqual([200, 200, 200, 200, 403, 200, 403, 403]);
});

test("turns are appended to turns.jsonl in the state folder, across restarts", async () => {
  const stateDir = join(await mkdtemp(join(tmpdir(), "simulator-")), "state");
  for (const id of ["first", "second"]) {
    await using simulator = await startTestSimulator({ stateDir });
    await sample(simulator, id);
  }
  const turns = turnsIn(await readFile(join(stateDir, "turns.jsonl"), "utf8"));
  expect(turns.map((turn) => [turn.trajectoryId, turn.outcome])).toEqual([
    ["first", "complete"],
    ["second", "complete"],
  ]);
  await rm(stateDir, { recursive: true });
});

test("a state folder that cannot be one is an error at the start", async () => {
  const folder = await mkdtemp(join(tmpdir(), "simulator-"));
  const file = join(folder, "file");
  await writeFile(file, "");
  await expect(startTestSimulator({ stateDir: file })).rejects.toThrow("EEXIST");
  await rm(folder, { recursive: true });
});

test("a port that is taken is an error at the start", async () => {
  await using simulator = await startTestSimulator();
  await expect(startTestSimulator({ port: simulator.port })).rejects.toThrow("EADDRINUSE");
});

test("memory is bounded in trajectories, turns and body bytes", async () => {
  await using few = await startTestSimulator({ maxTrajectories: 2 });
  for (const id of ["a", "b", "c"]) await sample(few, id);
  expect(few.trajectories().map((each) => each.trajectoryId)).toEqual(["b", "c"]);
  await using short = await startTestSimulator({ maxTurns: 2 });
  for (let turn = 0; turn < 4; turn += 1) await sample(short, "t");
  const kept = short.trajectory(testJobArn, "t");
  expect(kept?.turnCount).toBe(4);
  expect(kept?.turns.map((turn) => turn.sequence)).toEqual([3, 4]);
  await using bare = await startTestSimulator({ maxKeptBodyBytes: 0 });
  await sample(bare, "t", { stream: true }).then((response) => response.arrayBuffer());
  const [turn] = bare.trajectory(testJobArn, "t")?.turns ?? [];
  expect(turn?.request.body).toMatchObject({ dropped: true });
  expect(turn?.response.body).toMatchObject({ dropped: true });
});

test("a reset forgets trajectories, faults, counts and events", async () => {
  await using simulator = await startTestSimulator({ faults: [{ kind: "quota", after: 1 }] });
  await sample(simulator, "t");
  simulator.reset();
  expect(simulator.trajectories()).toEqual([]);
  expect(simulator.events()).toEqual([]);
  expect(simulator.stats()).toMatchObject({ turns: 0, requests: {} });
  expect((await sample(simulator, "t")).status).toBe(200);
  expect((await sample(simulator, "t")).status).toBe(200);
});
