import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/errors.ts";
import { serviceError } from "../../src/job-runtime/errors.ts";
import { viewRollout } from "../../src/rollouts/rollout-view.ts";
import { Store } from "../../src/rollouts/store.ts";
import { finishTurn, keyOf, setUpDesk } from "./desk.ts";

const reset = new GatewayError("upstream_reset", "the connection was reset");
const unreachable = new GatewayError("upstream_unreachable", "nobody there");
const throttled = (retryAfterMs: number) =>
  serviceError({
    type: "ThrottlingException",
    status: 429,
    message: "slow down",
    requestId: undefined,
    retryAfterMs,
  });
const both = { status: "ready", reward: { rewards: [1], asked: "1" } } as const;

describe("an operation", () => {
  it("is not sent before it is stored", async () => {
    const { clock, client, ledger, lifecycle } = setUpDesk();
    finishTurn(ledger, keyOf("a"));
    const accepted = lifecycle.submit(keyOf("a"), both);
    await Promise.resolve();
    expect(client.order).toEqual([]);
    expect(ledger.store.find(keyOf("a"))?.completion).toBeUndefined();
    await clock.until(accepted);
    expect(ledger.store.find(keyOf("a"))?.reward?.said.rewards).toEqual([1]);
    expect(client.order).toEqual(["complete a", "reward a"]);
  });

  it.each([reset, unreachable, throttled(10), new GatewayError("service_internal", "500")])(
    "is tried again with the same token after: $message",
    async (error) => {
      const { clock, client, lifecycle } = setUpDesk();
      client.failures.push(error, error);
      await clock.until(lifecycle.completeRollout(keyOf("a"), "ready"));
      expect(client.completions).toHaveLength(3);
      expect(new Set(client.completions.map((sent) => sent.clientToken)).size).toBe(1);
    },
  );

  it("waits longer from attempt to attempt, by chance, and never less than the service asks for", async () => {
    const { clock, client, lifecycle, logged } = setUpDesk({ random: () => 0.999 });
    client.failures.push(reset, reset, reset, throttled(40_000), reset);
    await clock.until(lifecycle.completeRollout(keyOf("a"), "ready"));
    const delays = logged.filter(({ message }) => message === "delivery-retry");
    expect(delays.map(({ fields }) => fields["delay_ms"])).toEqual([250, 500, 999, 40_000, 3_996]);
  });

  it("is given up at its deadline, after one last attempt, and says why", async () => {
    const { clock, client, ledger, lifecycle } = setUpDesk();
    client.failWith = () => throttled(400_000);
    const outcome = lifecycle.updateReward(keyOf("a"), [1]);
    await expect(clock.until(outcome)).rejects.toMatchObject({
      code: "delivery_expired",
      message:
        "The reward was not acknowledged within delivery.deadline_s, in 3 attempts; the last one: ThrottlingException: slow down Send the same again to have it tried further.",
    });
    expect(viewRollout(ledger.open(keyOf("a")))).toMatchObject({
      reward: { outcome: "expired", attempts: 3, error: { code: "service_throttled" } },
    });
    client.failWith = undefined;
    await clock.until(lifecycle.updateReward(keyOf("a"), [1]));
    expect(ledger.get(keyOf("a"))?.state).toBe("rewarded");
  });
});

it("a reward that is accepted while its completion is under way waits until it is stored itself", async () => {
  const { clock, client, lifecycle, ledger } = setUpDesk();
  const { promise, resolve } = Promise.withResolvers<void>();
  client.gate = promise;
  const first = lifecycle.submit(keyOf("a"), { status: "ready" });
  await clock.advance(1);
  await first;
  const accepted = lifecycle.submit(keyOf("a"), { reward: both.reward });
  resolve();
  // The completion ends before the next commit is due.
  await clock.advance(1);
  expect(ledger.get(keyOf("a"))?.state).toBe("ready");
  expect(client.order).toEqual(["complete a"]);
  await clock.until(accepted);
  expect(client.order).toEqual(["complete a", "reward a"]);
});

describe("rollouts", () => {
  it("go out one operation after another, the completion first, whatever fails", async () => {
    const { clock, client, lifecycle } = setUpDesk();
    client.failures.push(reset, reset, undefined, reset);
    const accepted = await clock.until(lifecycle.submit(keyOf("a"), both));
    await clock.until(lifecycle.outcome(accepted));
    expect(client.order.map((call) => call.split(" ")[0])).toEqual([
      "complete",
      "complete",
      "complete",
      "reward",
      "reward",
    ]);
  });

  it("go out at once up to the bound, and one that waits to try again takes no place", async () => {
    const { clock, client, lifecycle } = setUpDesk({ maxConcurrent: 2 });
    const { promise, resolve } = Promise.withResolvers<void>();
    client.gate = promise;
    client.failures.push(throttled(5_000));
    const ids = ["a", "b", "c", "d"];
    const outcomes = ids.map((id) => lifecycle.completeRollout(keyOf(id), "ready"));
    await clock.advance(100);
    expect(client.order).toEqual(["complete a", "complete b"]);
    resolve();
    await clock.advance(100);
    expect(client.order).toEqual(ids.map((id) => `complete ${id}`));
    await clock.until(Promise.all(outcomes));
    expect(client.order.at(-1)).toBe("complete a");
    expect(client.mostUnderWay).toBe(2);
  });
});

describe("a restart", () => {
  /** The store goes on; everything that was in memory is gone. */
  function startAgain(store: Store, clock: ReturnType<typeof setUpDesk>["clock"]) {
    const desk = setUpDesk({ clock, ledger: { store } });
    return { ...desk, resumed: desk.delivery.resume() };
  }

  it("takes up what was accepted, with the same token, and the same request again joins it", async () => {
    const store = Store.open(null);
    const first = setUpDesk({ ledger: { store } });
    first.client.gate = new Promise(() => undefined);
    finishTurn(first.ledger, keyOf("a"));
    await first.clock.until(first.lifecycle.submit(keyOf("a"), both));

    const second = startAgain(store, first.clock);
    expect(second.resumed).toBe(1);
    const again = await second.clock.until(second.lifecycle.submit(keyOf("a"), both));
    await second.clock.until(second.lifecycle.outcome(again));
    expect(second.client.order).toEqual(["complete a", "reward a"]);
    expect(second.client.completions).toEqual(first.client.completions);
    await expect(
      second.lifecycle.submit(keyOf("a"), { reward: { rewards: [2], asked: "2" } }),
    ).rejects.toThrow("was rewarded with [1]");
  });

  it("sends no reward of its own again, and knows what was said", async () => {
    const store = Store.open(null);
    const first = setUpDesk({ ledger: { store } });
    await first.clock.until(first.lifecycle.updateReward(keyOf("a"), [1]));
    await first.clock.advance(2_000);
    const second = startAgain(store, first.clock);
    expect(second.resumed).toBe(0);
    await second.clock.until(second.lifecycle.updateReward(keyOf("a"), [1]));
    expect(second.client.order).toEqual([]);
  });

  it("tries what is overdue for a while yet", async () => {
    const store = Store.open(null);
    const first = setUpDesk({ ledger: { store } });
    first.client.gate = new Promise(() => undefined);
    await first.clock.until(first.lifecycle.submit(keyOf("a"), both));
    await first.clock.advance(10_000_000);
    const { client, clock, ledger } = startAgain(store, first.clock);
    // The completion is on its way already.
    client.failures.push(unreachable, unreachable);
    await clock.advance(10_000);
    expect(client.order).toEqual(["complete a", "reward a", "reward a", "reward a"]);
    expect(ledger.get(keyOf("a"))?.state).toBe("rewarded");
  });

  it("before the outcome was written sends it once more with the same token, which changes nothing", async () => {
    const store = Store.open(null);
    const first = setUpDesk({ ledger: { store } });
    const accepted = first.lifecycle.submit(keyOf("a"), both);
    await first.clock.advance(10);
    expect((await accepted).operations.map(({ state }) => state)).toEqual([
      "delivered",
      "delivered",
    ]);
    expect(store.find(keyOf("a"))?.completion?.state).toBe("pending");
    const { client, clock } = startAgain(store, first.clock);
    await clock.advance(10);
    expect(client.completions).toEqual(first.client.completions);
    expect(client.rewards).toEqual(first.client.rewards);
  });
});

describe("draining", () => {
  it("ends when everything is delivered", async () => {
    const { clock, client, delivery, lifecycle } = setUpDesk();
    client.failures.push(throttled(3_000));
    await clock.until(lifecycle.submit(keyOf("a"), { status: "ready" }));
    expect(await clock.until(delivery.drain(10_000))).toEqual([]);
    expect(client.completions).toHaveLength(2);
  });

  it("stops at its time, tells those who wait, and leaves the rest in the store", async () => {
    const { clock, client, delivery, lifecycle, ledger } = setUpDesk();
    client.failWith = () => unreachable;
    const outcome = lifecycle.completeRollout(keyOf("a"), "ready");
    outcome.catch(() => undefined);
    await clock.advance(1_000);
    const left = await clock.until(delivery.drain(10_000));
    expect(left.map(({ trajectoryId }) => trajectoryId)).toEqual(["a"]);
    await expect(outcome).rejects.toMatchObject({
      code: "shutting_down",
      message: expect.stringContaining("before the service has the completion"),
    });
    const sent = client.completions.length;
    await clock.advance(600_000);
    expect(client.completions).toHaveLength(sent);
    expect(ledger.store.find(keyOf("a"))?.completion?.state).toBe("pending");
  });
});
