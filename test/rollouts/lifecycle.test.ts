import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/errors.ts";
import { serviceError } from "../../src/job-runtime/errors.ts";
import { clientToken } from "../../src/rollouts/client-token.ts";
import { Ledger, type RolloutKey } from "../../src/rollouts/ledger.ts";
import { RolloutLifecycle } from "../../src/rollouts/lifecycle.ts";
import type { LifecycleOperation, LifecycleOutcome } from "../../src/telemetry/metrics.ts";
import { RecordingClient } from "./recording-client.ts";

const key: RolloutKey = {
  jobArn: "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/one",
  trajectoryId: "t-1",
};

function setUp() {
  const client = new RecordingClient();
  const ledger = new Ledger({ now: () => Date.parse("2026-03-01T10:00:00Z") });
  const calls: [LifecycleOperation, LifecycleOutcome][] = [];
  const warned: unknown[] = [];
  const lifecycle = new RolloutLifecycle({
    client,
    ledger,
    metrics: { lifecycleCalled: (operation, outcome) => calls.push([operation, outcome]) },
    log: { info: () => undefined, warn: (fields: unknown) => warned.push(fields) },
  });
  return { client, ledger, lifecycle, calls, warned };
}

function finishTurn(ledger: Ledger): void {
  const turn = ledger.beginTurn({ ...key, stream: false, retryCount: 0, bytesIn: 1 });
  ledger.endTurn(turn, {
    outcome: "finished",
    status: 200,
    bytesOut: 1,
    durationMs: 1,
    attempts: 1,
  });
}

const refused = (type: string, status: number, message: string) =>
  serviceError({ type, status, message, requestId: "req-refused" });
const movedOn = [
  refused("ConflictException", 409, "Cannot transition trajectory t-1 from READY"),
  refused("ValidationException", 400, "Trajectory t-1 is not in valid status"),
];
const notFound = refused("ResourceNotFoundException", 404, "No such trajectory");

describe("completing", () => {
  it("sends the status with a token and notes the acknowledgement", async () => {
    const { client, ledger, lifecycle, calls } = setUp();
    finishTurn(ledger);
    const delivered = await lifecycle.completeRollout(key, "failed");
    expect(client.completions).toEqual([
      { ...key, status: "failed", clientToken: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ]);
    expect(delivered).toMatchObject({ outcome: "delivered", requestId: "req-1", warnings: [] });
    expect(ledger.get(key)).toMatchObject({ state: "failed", completion: { status: "failed" } });
    expect(calls).toEqual([["complete_rollout", "delivered"]]);
  });

  it("without a finished turn warns the caller and in the log", async () => {
    const { lifecycle, warned } = setUp();
    const { warnings } = await lifecycle.completeRollout(key, "ready");
    expect(warnings).toEqual([expect.stringContaining("Completed without a single finished turn")]);
    expect(warned).toEqual([{ job_arn: key.jobArn, trajectory_id: "t-1", warning: warnings[0] }]);
  });

  it.each(movedOn)("counts as done when the service says: $message", async (error) => {
    const { client, ledger, lifecycle, calls } = setUp();
    finishTurn(ledger);
    client.failures.push(error);
    const delivered = await lifecycle.completeRollout(key, "ready");
    expect(delivered).toMatchObject({ outcome: "already_done", requestId: "req-refused" });
    expect(delivered.warnings).toEqual([
      expect.stringContaining(
        `the service says that the trajectory has moved on already (${error.message})`,
      ),
    ]);
    expect(ledger.get(key)?.state).toBe("ready");
    expect(calls).toEqual([["complete_rollout", "already_done"]]);
  });

  it("of a trajectory the service never knew is an error, and no completion", async () => {
    const { client, ledger, lifecycle, calls } = setUp();
    client.failures.push(notFound);
    await expect(lifecycle.completeRollout(key, "ready")).rejects.toBe(notFound);
    expect(ledger.get(key)).toBeUndefined();
    expect(calls).toEqual([["complete_rollout", "failed"]]);
  });

  it("again counts as done when the service has put the trajectory away", async () => {
    const { client, lifecycle } = setUp();
    await lifecycle.completeRollout(key, "ready");
    client.failures.push(notFound);
    expect(await lifecycle.completeRollout(key, "ready")).toMatchObject({
      outcome: "already_done",
    });
  });

  it("again with the other status is a conflict that is not sent", async () => {
    const { client, lifecycle } = setUp();
    await lifecycle.completeRollout(key, "ready");
    await expect(lifecycle.completeRollout(key, "failed")).rejects.toMatchObject({
      code: "rollout_conflict",
      message:
        "This rollout was completed as ready at 2026-03-01T10:00:00.000Z; it cannot become failed.",
    });
    expect(client.completions).toHaveLength(1);
  });

  it("passes a refusal on as it is", async () => {
    const { client, lifecycle } = setUp();
    const denied = refused("AccessDeniedException", 403, "no");
    client.failures.push(denied);
    await expect(lifecycle.completeRollout(key, "ready")).rejects.toBe(denied);
  });

  it("turns what nobody foresaw into an internal error", async () => {
    const { client, lifecycle } = setUp();
    client.failures.push(new TypeError("bug") as never);
    await expect(lifecycle.completeRollout(key, "ready")).rejects.toMatchObject({
      code: "internal",
    });
  });
});

describe("rewarding", () => {
  it("sends the numbers with a token and notes the acknowledgement", async () => {
    const { client, ledger, lifecycle, calls } = setUp();
    expect(await lifecycle.updateReward(key, [0, 1])).toMatchObject({ outcome: "delivered" });
    expect(client.rewards).toEqual([
      { ...key, rewards: [0, 1], clientToken: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ]);
    expect(ledger.get(key)).toMatchObject({ state: "rewarded", reward: { rewards: [0, 1] } });
    expect(calls).toEqual([["update_reward", "delivered"]]);
  });

  it.each([...movedOn, notFound])(
    "after a completion counts as done when the service says: $message",
    async (error) => {
      const { client, ledger, lifecycle } = setUp();
      await lifecycle.completeRollout(key, "ready");
      client.failures.push(error);
      expect(await lifecycle.updateReward(key, [1])).toMatchObject({ outcome: "already_done" });
      expect(ledger.get(key)?.state).toBe("rewarded");
    },
  );

  it.each(movedOn)("before any completion is not taken for done: $message", async (error) => {
    const { client, ledger, lifecycle } = setUp();
    client.failures.push(error);
    await expect(lifecycle.updateReward(key, [1])).rejects.toMatchObject({
      code: error.code,
      status: error.status,
      requestId: "req-refused",
      message: expect.stringContaining("POST /rollouts/{id}/complete first"),
    });
    expect(ledger.get(key)).toBeUndefined();
  });

  it("again with other numbers is a conflict that says what was sent, and is not sent", async () => {
    const { client, lifecycle } = setUp();
    await lifecycle.updateReward(key, [1]);
    for (const rewards of [[0.5], [1, 1]]) {
      await expect(lifecycle.updateReward(key, rewards)).rejects.toMatchObject({
        code: "rollout_conflict",
        message: `This rollout was rewarded with [1] at 2026-03-01T10:00:00.000Z; it cannot be rewarded with ${JSON.stringify(rewards)}.`,
      });
    }
    expect(client.rewards).toHaveLength(1);
  });

  it("again with the same numbers says the same with the same token", async () => {
    const { client, lifecycle } = setUp();
    await lifecycle.updateReward(key, [1]);
    await lifecycle.updateReward(key, [1]);
    expect(client.rewards[1]).toEqual(client.rewards[0]);
  });

  it("can be tried again after a refusal", async () => {
    const { client, ledger, lifecycle } = setUp();
    client.failures.push(new GatewayError("service_throttled", "slow down", { retryAfterMs: 100 }));
    await expect(lifecycle.updateReward(key, [1])).rejects.toMatchObject({ retryAfterMs: 100 });
    await lifecycle.updateReward(key, [0.5]);
    expect(ledger.get(key)?.reward?.rewards).toEqual([0.5]);
  });
});

it("gives every statement its own token, and the same one each time", () => {
  const other = { ...key, trajectoryId: "t-2" };
  const tokens = [
    clientToken("CompleteRollout", key, "ready"),
    clientToken("CompleteRollout", key, "failed"),
    clientToken("CompleteRollout", other, "ready"),
    clientToken("UpdateReward", key, [1]),
    clientToken("UpdateReward", key, [1, 1]),
    clientToken("UpdateReward", { ...key, jobArn: `${key.jobArn}2` }, [1]),
  ];
  expect(new Set(tokens).size).toBe(tokens.length);
  // Pinned: a token that changed between versions would send twice what was sent before an upgrade.
  expect(clientToken("UpdateReward", key, [1])).toMatchInlineSnapshot(
    `"a648909f2a50b522bf33c25a61f0d391f0df2ce8f932596c434d73bcaa977f8d"`,
  );
});
