import { describe, expect, it } from "vitest";
import { serviceError } from "../../src/job-runtime/errors.ts";
import { viewRollout } from "../../src/rollouts/rollout-view.ts";
import { Watchdog, type WatchdogSettings } from "../../src/rollouts/watchdog.ts";
import { begin, type DeskOptions, ending, finishTurn, keyOf, setUpDesk } from "./desk.ts";

const off: WatchdogSettings = {
  idleTimeoutMs: null,
  idleStatus: "ready",
  idleReward: null,
  fallbackReward: null,
  fallbackAfterMs: 480_000,
};

function setUp(settings: Partial<WatchdogSettings>, options: DeskOptions = {}) {
  const desk = setUpDesk(options);
  const { ledger, lifecycle, clock, log } = desk;
  const { now, schedule } = clock;
  const watchdog = new Watchdog({
    ledger,
    lifecycle,
    log,
    now,
    schedule,
    settings: { ...off, ...settings },
  });
  return { ...desk, watchdog, view: (id: string) => viewRollout(ledger.open(keyOf(id))) };
}

const denied = serviceError({
  type: "AccessDeniedException",
  status: 403,
  message: "no",
  requestId: undefined,
});

describe("an abandoned rollout", () => {
  it("is left alone unless a timeout is set", async () => {
    const { clock, ledger, client } = setUp({});
    finishTurn(ledger, keyOf("a"));
    await clock.advance(86_400_000);
    expect(client.order).toEqual([]);
    expect(clock.timers).toBe(0);
  });

  it("is completed as configured once no turn has come for that long, and says so", async () => {
    const { clock, ledger, client, view, logged } = setUp({
      idleTimeoutMs: 60_000,
      idleStatus: "failed",
      idleReward: -1,
    });
    finishTurn(ledger, keyOf("a"));
    await clock.advance(40_000);
    finishTurn(ledger, keyOf("a"));
    await clock.advance(59_000);
    expect(client.order).toEqual([]);
    await clock.advance(2_000);
    expect(client.completions).toMatchObject([{ trajectoryId: "a", status: "failed" }]);
    expect(client.rewards).toMatchObject([{ rewards: [-1] }]);
    expect(view("a")).toMatchObject({
      completion: { origin: "idle_timeout" },
      reward: { origin: "idle_timeout" },
      warnings: [
        "turnpike itself gave the completion, since no turn had come for rollouts.idle_timeout_s.",
        "turnpike itself gave the reward, since no turn had come for rollouts.idle_timeout_s.",
      ],
    });
    expect(logged).toContainEqual(
      expect.objectContaining({ level: "warn", message: "rollout-concluded-by-turnpike" }),
    );
  });

  it("is not one whose turn is under way, however long it takes", async () => {
    const { clock, ledger, client } = setUp({ idleTimeoutMs: 60_000 });
    const turn = begin(ledger, keyOf("a"));
    await clock.advance(600_000);
    expect(client.order).toEqual([]);
    ledger.endTurn(turn, ending("finished"));
    await clock.advance(62_000);
    expect(client.order).toEqual(["complete a"]);
  });

  it("may be one that was registered and never made a turn, unless empty ones are refused", async () => {
    const { clock, ledger, client } = setUp({ idleTimeoutMs: 60_000 });
    ledger.register(keyOf("a"));
    await clock.advance(70_000);
    expect(client.order).toEqual(["complete a"]);

    const strict = setUp({ idleTimeoutMs: 60_000 }, { refuseEmpty: true });
    strict.ledger.register(keyOf("a"));
    await strict.clock.advance(90_000);
    expect(strict.client.order).toEqual([]);
    const said = strict.logged.filter(({ message }) => message === "rollout-not-concluded");
    expect(said).toHaveLength(1);
  });

  it("is completed once, even where the service refuses that", async () => {
    const { clock, ledger, client } = setUp({ idleTimeoutMs: 60_000 });
    client.failWith = () => denied;
    finishTurn(ledger, keyOf("a"));
    await clock.advance(300_000);
    expect(client.order).toEqual(["complete a"]);
  });
});

describe("the fallback reward", () => {
  const fallback = { fallbackReward: 0.25, fallbackAfterMs: 480_000 };

  it("completes and rewards a rollout that is open near the deadline, and is labelled", async () => {
    const { clock, ledger, client, view } = setUp(fallback);
    finishTurn(ledger, keyOf("a"));
    await clock.advance(400_000);
    finishTurn(ledger, keyOf("a"));
    expect(client.order).toEqual([]);
    await clock.advance(82_000);
    expect(client.completions).toMatchObject([{ status: "ready" }]);
    expect(client.rewards).toMatchObject([{ rewards: [0.25] }]);
    expect(view("a").reward).toMatchObject({ origin: "fallback", outcome: "delivered" });
    expect(view("a").warnings).toContain(
      "turnpike itself gave the reward, since no reward had come by rollouts.fallback_after_s.",
    );
  });

  it("is given to a completed rollout without another completion", async () => {
    const { clock, ledger, client, lifecycle } = setUp(fallback);
    finishTurn(ledger, keyOf("a"));
    await clock.until(lifecycle.completeRollout(keyOf("a"), "ready"));
    await clock.advance(500_000);
    expect(client.order).toEqual(["complete a", "reward a"]);
  });

  it("is not given to a rollout with a reward, under way or not, nor to an empty one", async () => {
    const { clock, ledger, client, lifecycle } = setUp(fallback);
    finishTurn(ledger, keyOf("rewarded"));
    await clock.until(lifecycle.updateReward(keyOf("rewarded"), [1]));
    ledger.register(keyOf("registered"));
    ledger.endTurn(begin(ledger, keyOf("unheard")), ending("failed", { code: "upstream_timeout" }));
    await clock.advance(1_000_000);
    expect(client.order).toEqual(["reward rewarded"]);
  });

  it("then stands: another reward is a conflict that says whose it was", async () => {
    const { clock, ledger, lifecycle } = setUp(fallback);
    finishTurn(ledger, keyOf("a"));
    await clock.advance(500_000);
    const late = lifecycle.submit(keyOf("a"), { reward: { rewards: [1], asked: "1" } });
    await expect(late).rejects.toThrow(
      "was rewarded with [0.25] at 2026-03-01T10:08:00.000Z by turnpike itself (fallback); it cannot be rewarded with [1]",
    );
  });
});

describe("at the shutdown", () => {
  it("open rollouts that this process has seen are completed as failed, where that is configured", async () => {
    const first = setUpDesk();
    finishTurn(first.ledger, keyOf("earlier"));
    await first.clock.advance(10_000);
    const { clock, ledger, watchdog, client, lifecycle, view } = setUp(
      {},
      { clock: first.clock, ledger: { store: first.ledger.store } },
    );
    finishTurn(ledger, keyOf("open"));
    finishTurn(ledger, keyOf("sealed"));
    await clock.until(lifecycle.completeRollout(keyOf("sealed"), "ready"));
    await clock.until(watchdog.failOpen());
    await clock.advance(1_000);
    expect(client.completions).toMatchObject([
      { trajectoryId: "sealed", status: "ready" },
      { trajectoryId: "open", status: "failed" },
    ]);
    expect(view("open").completion).toMatchObject({ origin: "shutdown" });
  });
});

it("completes many at once, in one commit", async () => {
  const { clock, ledger, watchdog, client } = setUp({});
  for (let at = 0; at < 500; at += 1) finishTurn(ledger, keyOf(`t-${at}`));
  const failed = watchdog.failOpen();
  await clock.advance(100);
  await failed;
  expect(client.completions).toHaveLength(500);
});

it("stops when it is told to", async () => {
  const { clock, ledger, watchdog, client } = setUp({ idleTimeoutMs: 60_000 });
  finishTurn(ledger, keyOf("a"));
  await clock.advance(10_000);
  watchdog.stop();
  await clock.advance(600_000);
  expect(client.order).toEqual([]);
});
