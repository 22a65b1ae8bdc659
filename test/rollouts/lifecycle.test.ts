import { describe, expect, it, vi } from "vitest";
import { GatewayError } from "../../src/errors.ts";
import { serviceError } from "../../src/job-runtime/errors.ts";
import { clientToken } from "../../src/rollouts/client-token.ts";
import type { RolloutKey } from "../../src/rollouts/rollout-key.ts";
import { viewRollout } from "../../src/rollouts/rollout-view.ts";
import { finishTurn, keyOf, setUpDesk } from "./desk.ts";

const key: RolloutKey = keyOf("t-1");

const refused = (type: string, status: number, message: string) =>
  serviceError({ type, status, message, requestId: "req-refused" });
const movedOn = [
  refused("ConflictException", 409, "Cannot transition trajectory t-1 from READY"),
  refused("ValidationException", 400, "Trajectory t-1 is not in valid status"),
];
const notFound = refused("ResourceNotFoundException", 404, "No such trajectory");
const denied = refused("AccessDeniedException", 403, "no");

/** A desk whose rollout has had a turn, and calls that let its clock run. */
function setUp(options: Parameters<typeof setUpDesk>[0] = {}) {
  const desk = setUpDesk(options);
  finishTurn(desk.ledger, key);
  const { clock, lifecycle } = desk;
  return {
    ...desk,
    complete: (status: "ready" | "failed", of = key) =>
      clock.until(lifecycle.completeRollout(of, status)),
    reward: (rewards: readonly number[], of = key) =>
      clock.until(lifecycle.updateReward(of, rewards)),
    view: () => viewRollout(desk.ledger.open(key)),
  };
}

describe("completing", () => {
  it("sends the status with a token and notes the acknowledgement", async () => {
    const { client, complete, calls, view } = setUp();
    expect(await complete("failed")).toMatchObject({ requestId: "req-1", warnings: [] });
    expect(client.completions).toEqual([
      { ...key, status: "failed", clientToken: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ]);
    expect(view()).toMatchObject({
      state: "failed",
      completion: { status: "failed", outcome: "delivered", attempts: 1, origin: "caller" },
    });
    expect(calls).toEqual([["complete_rollout", "delivered"]]);
  });

  it("without a finished turn warns the caller and in the log", async () => {
    const { complete, logged } = setUp();
    const { warnings } = await complete("ready", keyOf("empty"));
    expect(warnings).toEqual([expect.stringContaining("Completed without a single finished turn")]);
    expect(logged).toContainEqual({
      level: "warn",
      fields: expect.objectContaining({ trajectory_id: "empty", turns_started: 0 }),
      message: expect.stringContaining("rollout-completed-empty"),
    });
  });

  it.each(["ready", "failed"] as const)(
    "as %s without a finished turn is a conflict where empty ones are refused",
    async (status) => {
      const { complete, client, ledger } = setUp({ refuseEmpty: true });
      await expect(complete(status, keyOf("empty"))).rejects.toMatchObject({
        code: "rollout_empty",
        status: 409,
        shouldRetry: false,
        message: expect.stringContaining('"empty" has no finished turn (0 begun)'),
      });
      expect(client.completions).toEqual([]);
      expect(ledger.get(keyOf("empty"))?.state).toBe("open");
      await expect(complete(status)).resolves.toBeDefined();
    },
  );

  it.each(movedOn)("counts as done when the service says: $message", async (error) => {
    const { client, complete, calls, view } = setUp();
    client.failures.push(error);
    const { warnings, requestId } = await complete("ready");
    expect(requestId).toBe("req-refused");
    expect(warnings).toEqual([
      expect.stringContaining(
        `the service says that the trajectory has moved on already (${error.message})`,
      ),
    ]);
    expect(view()).toMatchObject({ state: "ready", completion: { outcome: "already_done" } });
    expect(calls).toEqual([["complete_rollout", "already_done"]]);
  });

  it.each([notFound, denied])("passes a final refusal on and keeps it: $message", async (error) => {
    const { client, complete, calls, view, logged } = setUp();
    client.failures.push(error);
    await expect(complete("ready")).rejects.toBe(error);
    expect(view()).toMatchObject({
      state: "open",
      completion: { outcome: "refused", error: { code: error.code, message: error.message } },
      warnings: [`The completion was refused: ${error.message}`],
    });
    expect(calls).toEqual([["complete_rollout", "failed"]]);
    expect(logged).toContainEqual(
      expect.objectContaining({ level: "error", message: "delivery-failed" }),
    );
  });

  it("again has the same answer, and is not sent again", async () => {
    const { client, complete } = setUp();
    const first = await complete("ready");
    client.failures.push(notFound);
    expect(await complete("ready")).toEqual(first);
    expect(client.completions).toHaveLength(1);
  });

  it("again while it is under way waits for the same delivery", async () => {
    const { client, lifecycle, clock } = setUp();
    const both = [lifecycle.completeRollout(key, "ready"), lifecycle.completeRollout(key, "ready")];
    await clock.until(Promise.all(both));
    expect(client.completions).toHaveLength(1);
  });

  it("again after a refusal is tried again with the same token", async () => {
    const { client, complete } = setUp();
    client.failures.push(denied);
    await expect(complete("ready")).rejects.toBe(denied);
    await complete("ready");
    expect(client.completions[1]).toEqual(client.completions[0]);
  });

  it("again with the other status is a conflict that is not sent", async () => {
    const { client, complete } = setUp();
    await complete("ready");
    await expect(complete("failed")).rejects.toMatchObject({
      code: "rollout_conflict",
      message:
        "This rollout was completed as ready at 2026-03-01T10:00:00.000Z; it cannot become failed.",
    });
    expect(client.completions).toHaveLength(1);
  });

  it("with the other status is a conflict too while the first is still to be delivered", async () => {
    const { client, clock, lifecycle } = setUp();
    client.failWith = () => new GatewayError("upstream_unreachable", "no");
    await clock.until(lifecycle.submit(key, { status: "ready" }));
    await expect(lifecycle.submit(key, { status: "failed" })).rejects.toThrow(
      "completed as ready at 2026-03-01T10:00:00.000Z and that is still to be delivered; it cannot become failed",
    );
  });

  it("with the other status is accepted after a refusal, which stays on the account", async () => {
    const { client, complete, view } = setUp();
    client.failures.push(denied);
    await expect(complete("ready")).rejects.toBe(denied);
    await complete("failed");
    expect(view()).toMatchObject({
      state: "failed",
      superseded: [{ operation: "complete_rollout", outcome: "refused" }],
    });
  });

  it("turns what nobody foresaw into an internal error, and tries until the deadline", async () => {
    const { client, complete, view } = setUp();
    client.failWith = () => new TypeError("bug") as never;
    await expect(complete("ready")).rejects.toMatchObject({
      code: "delivery_expired",
      status: 504,
      shouldRetry: false,
      message: expect.stringContaining("was not acknowledged within delivery.deadline_s"),
    });
    expect(view().completion).toMatchObject({ outcome: "expired", error: { code: "internal" } });
  });
});

describe("rewarding", () => {
  it("sends the numbers with a token and notes the acknowledgement", async () => {
    const { client, reward, calls, view } = setUp();
    expect(await reward([0, 1])).toMatchObject({ requestId: "req-1" });
    expect(client.rewards).toEqual([
      { ...key, rewards: [0, 1], clientToken: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ]);
    expect(view()).toMatchObject({ state: "rewarded", reward: { rewards: [0, 1] } });
    expect(calls).toEqual([["update_reward", "delivered"]]);
  });

  it.each([...movedOn, notFound])(
    "after a completion counts as done when the service says: $message",
    async (error) => {
      const { client, complete, reward, view } = setUp();
      await complete("ready");
      client.failures.push(error);
      await reward([1]);
      expect(view()).toMatchObject({ state: "rewarded", reward: { outcome: "already_done" } });
    },
  );

  it.each(movedOn)("before any completion is not taken for done: $message", async (error) => {
    const { client, reward, view } = setUp();
    client.failures.push(error);
    await expect(reward([1])).rejects.toMatchObject({
      code: error.code,
      status: error.status,
      requestId: "req-refused",
      message: expect.stringContaining("POST /rollouts/{id}/complete first"),
    });
    expect(view()).toMatchObject({ state: "open", reward: { outcome: "refused" } });
  });

  it("again with other numbers is a conflict that says what was sent, and is not sent", async () => {
    const { client, reward } = setUp();
    await reward([1]);
    for (const rewards of [[0.5], [1, 1]]) {
      await expect(reward(rewards)).rejects.toMatchObject({
        code: "rollout_conflict",
        message: `This rollout was rewarded with [1] at 2026-03-01T10:00:00.000Z; it cannot be rewarded with ${JSON.stringify(rewards)}.`,
      });
    }
    expect(client.rewards).toHaveLength(1);
  });

  it("with other numbers is accepted after a refusal that cannot have been taken", async () => {
    const { client, reward, view } = setUp();
    client.failures.push(denied);
    await expect(reward([1])).rejects.toBe(denied);
    await reward([0.5]);
    expect(view().reward?.rewards).toEqual([0.5]);
  });

  it("with other numbers is a conflict when the first may have arrived, even though it was refused", async () => {
    const { client, reward } = setUp();
    client.failures.push(new GatewayError("upstream_reset", "reset"), denied);
    await expect(reward([1])).rejects.toBe(denied);
    await expect(reward([0.5])).rejects.toThrow("[1] at 2026-03-01T10:00:00.000Z, which may have");
    await reward([1]);
    expect(client.rewards.map(({ rewards }) => rewards)).toEqual([[1], [1], [1]]);
  });
});

it("accepts completion and reward together or not at all", async () => {
  const { client, lifecycle, reward, ledger } = setUp();
  await reward([1]);
  const both = { status: "ready", reward: { rewards: [0], asked: "0" } } as const;
  await expect(lifecycle.submit(key, both)).rejects.toMatchObject({ code: "rollout_conflict" });
  expect(client.completions).toEqual([]);
  expect(ledger.get(key)?.completion).toBeUndefined();
});

it("refuses a reward together with the completion it waits for", async () => {
  const { client, clock, lifecycle, view } = setUp();
  client.failures.push(denied);
  const both = { status: "ready", reward: { rewards: [1], asked: "1" } } as const;
  const accepted = await clock.until(lifecycle.submit(key, both));
  await expect(clock.until(lifecycle.outcome(accepted))).rejects.toBe(denied);
  expect(client.rewards).toEqual([]);
  expect(view().reward).toMatchObject({ outcome: "refused", attempts: 0 });
});

describe("what cannot be stored", () => {
  const full = new GatewayError("state_unavailable", "full");

  it("is not accepted: nothing is sent, the rollout is as open as before, and it can be said again", async () => {
    const { client, complete, ledger, view } = setUp();
    const write = vi.spyOn(ledger.store, "write").mockImplementation(() => {
      throw full;
    });
    await expect(complete("ready")).rejects.toBe(full);
    expect(client.order).toEqual([]);
    expect(view()).toMatchObject({ state: "open", completion: null });
    finishTurn(ledger, key);
    write.mockRestore();
    await complete("failed");
    expect(view()).toMatchObject({ state: "failed", turns: { finished: 2 } });
  });

  it("leaves a refused one refused when it is to be tried again", async () => {
    const { client, complete, ledger, view } = setUp();
    client.failures.push(denied);
    await expect(complete("ready")).rejects.toBe(denied);
    const write = vi.spyOn(ledger.store, "write").mockImplementation(() => {
      throw full;
    });
    await expect(complete("ready")).rejects.toBe(full);
    expect(view()).toMatchObject({ state: "open", completion: { outcome: "refused" } });
    write.mockRestore();
    await complete("ready");
    expect(view().state).toBe("ready");
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
