/** Completions and rewards through a whole gateway, to the simulator: ends, restarts, and what is on the wire. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { Gateway } from "../../src/gateway.ts";
import { chat, errorOf, startGateway, startPair } from "../support/gateway.ts";
import { startTestSimulator, testJobArn } from "../support/simulator.ts";

function stateDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "turnpike-lifecycle-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function post(
  gateway: Pick<Gateway, "url">,
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${gateway.url}/rollouts/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

const lifecycleFault: { operations: ("CompleteRollout" | "UpdateReward")[] } = {
  operations: ["CompleteRollout", "UpdateReward"],
};

describe("a reward", () => {
  test("is delivered through every kind of failure, once", async () => {
    await using pair = await startPair({
      simulator: {
        faults: [
          { kind: "throttle", ...lifecycleFault, times: 1 },
          { kind: "internal-error", ...lifecycleFault, times: 1 },
          { kind: "unavailable", ...lifecycleFault, times: 1 },
          { kind: "reset-before-capture", ...lifecycleFault, times: 1 },
          { kind: "reset-after-capture", ...lifecycleFault, times: 2 },
        ],
      },
    });
    await (await chat(pair.gateway, "t-1")).text();
    const answer = await post(pair.gateway, "t-1/complete", { reward: 0.1 });
    expect(answer.status).toBe(200);
    const trajectory = pair.simulator.trajectory(testJobArn, "t-1");
    expect(trajectory).toMatchObject({ state: "REWARD_RECEIVED", rewards: [0.1] });
    expect(trajectory?.lifecycle.map(({ applied }) => applied)).toEqual([true, true]);
  });

  test("that was left at the shutdown is delivered by the next gateway on the same folder", async () => {
    const dir = stateDir();
    await using simulator = await startTestSimulator({
      faults: [{ kind: "unavailable", ...lifecycleFault }],
    });
    const settings = { endpoint: simulator.url, config: { state: { dir } } };
    const first = await startGateway(settings);
    const waiting = post(first, "t-1/complete", { reward: 0.5 });
    await simulator.waitFor("fault-injected", (event) => event.trajectoryId === "t-1");
    await first.close();
    // The one who waited is told that it is kept.
    expect((await waiting).status).toBe(202);
    expect(simulator.trajectory(testJobArn, "t-1")?.rewards ?? null).toBeNull();

    simulator.setFaults([]);
    await using second = await startGateway(settings);
    await vi.waitFor(
      () => expect(simulator.trajectory(testJobArn, "t-1")?.rewards).toEqual([0.5]),
      5_000,
    );
    const again = await post(second, "t-1/complete", { reward: 0.5 });
    expect(await again.json()).toMatchObject({ state: "rewarded", counts_may_be_short: false });
    expect((await post(second, "t-1/reward", { reward: 0.6 })).status).toBe(409);
  });
});

test("without a state folder what is left at the shutdown is lost, and that is said to caller and log", async () => {
  const pair = await startPair({
    simulator: { faults: [{ kind: "unavailable", ...lifecycleFault }] },
  });
  const waiting = post(pair.gateway, "t-1/reward", { reward: 1 });
  await pair.simulator.waitFor("fault-injected", (event) => event.trajectoryId === "t-1");
  await pair[Symbol.asyncDispose]();
  const answer = await waiting;
  expect(answer.status).toBe(503);
  expect(await errorOf(answer)).toMatchObject({ code: "shutting_down" });
  expect(pair.logged()).toMatch(/"rollouts":1,"trajectory_ids":\["t-1"\].*deliveries-lost/);
});

test("with one it is said in the log how many are left and which", async () => {
  const dir = stateDir();
  const pair = await startPair({
    config: { state: { dir } },
    simulator: { faults: [{ kind: "unavailable", ...lifecycleFault }] },
  });
  for (const id of ["t-1", "t-2"]) {
    const answer = await post(pair.gateway, `${id}/reward`, { reward: 1 }, { prefer: "wait=0" });
    expect(answer.status).toBe(202);
  }
  await pair[Symbol.asyncDispose]();
  expect(pair.logged()).toMatch(/"rollouts":2,"trajectory_ids":\["t-1","t-2"\].*deliveries-left/);
});

test("shutdown.open_rollouts fail completes what is open as failed, and leave does not", async () => {
  for (const [openRollouts, state] of [
    ["leave", "PENDING"],
    ["fail", "FAILED"],
  ]) {
    await using simulator = await startTestSimulator();
    const shutdown = { open_rollouts: openRollouts, drain_ms: 5_000 };
    const gateway = await startGateway({ endpoint: simulator.url, config: { shutdown } });
    await (await chat(gateway, "t-1")).text();
    await gateway.close();
    expect(simulator.trajectory(testJobArn, "t-1")?.state).toBe(state);
  }
});

test("a turn of a sealed rollout, and one beyond rollouts.max_turns, does not reach the service", async () => {
  await using pair = await startPair({ config: { rollouts: { max_turns: 1 } } });
  await (await chat(pair.gateway, "t-1")).text();
  const beyond = await chat(pair.gateway, "t-1");
  expect([beyond.status, beyond.headers.get("x-should-retry")]).toEqual([400, "false"]);
  expect(await errorOf(beyond)).toMatchObject({ code: "max_turns_reached" });
  await post(pair.gateway, "t-1/complete", {});
  const sealed = await chat(pair.gateway, "t-1", { body: { stream: true } });
  expect([sealed.status, sealed.headers.get("x-should-retry")]).toEqual([409, "false"]);
  expect(await errorOf(sealed)).toMatchObject({ code: "rollout_sealed" });
  expect(pair.simulator.stats().turns).toBe(1);
});

test("a second gateway on one folder is refused", async () => {
  const dir = stateDir();
  await using pair = await startPair({ config: { state: { dir } } });
  const second = startGateway({ endpoint: pair.simulator.url, config: { state: { dir } } });
  await expect(second).rejects.toMatchObject({
    code: "state_unavailable",
    message: expect.stringContaining("Another turnpike is using"),
  });
});

test("a gateway that cannot listen lets go of its folder", async () => {
  const dir = stateDir();
  await using pair = await startPair();
  const config = { state: { dir }, server: { port: Number(new URL(pair.gateway.url).port) } };
  const second = startGateway({ endpoint: pair.simulator.url, config });
  await expect(second).rejects.toMatchObject({ code: "EADDRINUSE" });
  await using third = await startGateway({
    endpoint: pair.simulator.url,
    config: { state: { dir } },
  });
  expect(third.url).toContain("http");
});
