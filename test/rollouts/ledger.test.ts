import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { Ledger, type LedgerTurn, type RolloutKey } from "../../src/rollouts/ledger.ts";
import { viewRollout } from "../../src/rollouts/rollout-view.ts";
import { Store } from "../../src/rollouts/store.ts";
import type { TurnOutcome } from "../../src/rollouts/turn.ts";
import { begin, ending, finishTurn, jobArn, keyOf, otherJob, setUpDesk } from "./desk.ts";
import { VirtualClock } from "./virtual-clock.ts";

const key = keyOf;

function viewOf(ledger: Ledger, of: RolloutKey) {
  const rollout = ledger.get(of);
  return rollout && viewRollout(rollout);
}

describe("turns", () => {
  it("are numbered from 1 within their trajectory, whatever their order of ending", () => {
    const ledger = new Ledger();
    const first = begin(ledger, key("a"));
    const second = begin(ledger, key("a"));
    const elsewhere = begin(ledger, key("b"));
    const inOtherJob = begin(ledger, { jobArn: otherJob, trajectoryId: "a" });
    ledger.endTurn(second, ending("finished"));
    ledger.endTurn(first, ending("finished"));
    const numbers = [first, second, elsewhere, inOtherJob, begin(ledger, key("a"))].map(
      (t) => t.number,
    );
    expect(numbers).toEqual([1, 2, 1, 1, 3]);
  });

  it("end once, the first time", () => {
    const ledger = new Ledger();
    const turn = begin(ledger, key("a"));
    ledger.endTurn(turn, ending("finished", { usage: { promptTokens: 7, completionTokens: 3 } }));
    ledger.endTurn(
      turn,
      ending("client_left", { usage: { promptTokens: 7, completionTokens: 3 } }),
    );
    expect(viewOf(ledger, key("a"))).toMatchObject({
      turns: { started: 1, finished: 1, client_left: 0, in_flight: 0 },
      usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
    });
  });

  it("always add up, over any interleaving of any number of trajectories", () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 200 }), (moves) => {
        const { ledger, turns, ends } = play(moves);
        for (const rollout of ledger.list(100)) {
          const own = turns.filter((turn) => turn.rollout === rollout);
          expect(own.map((turn) => turn.number)).toEqual(own.map((_turn, at) => at + 1));
          const ended = own.flatMap((turn) => ends.get(turn) ?? []);
          expect(viewRollout(rollout)).toMatchObject(expectedCounts(own.length, ended));
        }
        expect(new Set(turns.map((turn) => turn.rollout)).size).toBe(ledger.size);
      }),
    );
  });
});

interface Ending {
  readonly outcome: TurnOutcome;
  readonly tokens: number;
}

/** A turn begins in one of five trajectories, or one that has begun ends, for the first time or again. */
type Move = { readonly begin: number } | (Ending & { readonly end: number });

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ begin: fc.nat({ max: 4 }) }),
  fc.record({
    end: fc.nat({ max: 50 }),
    outcome: fc.constantFrom<TurnOutcome>("finished", "failed", "truncated", "client_left"),
    tokens: fc.nat({ max: 9 }),
  }),
);

function play(moves: readonly Move[]) {
  const ledger = new Ledger();
  const turns: LedgerTurn[] = [];
  /** The first end of each turn. */
  const ends = new Map<LedgerTurn, Ending>();
  for (const step of moves) {
    if ("begin" in step) {
      turns.push(begin(ledger, key(`t${step.begin}`)));
      continue;
    }
    const turn = turns[step.end % Math.max(1, turns.length)];
    if (turn === undefined) continue;
    const usage = { promptTokens: step.tokens, completionTokens: 1 };
    ledger.endTurn(turn, ending(step.outcome, { usage }));
    if (!ends.has(turn)) ends.set(turn, step);
  }
  return { ledger, turns, ends };
}

function expectedCounts(started: number, ended: readonly Ending[]) {
  const count = (name: TurnOutcome) => ended.filter((end) => end.outcome === name).length;
  return {
    turns: {
      started,
      finished: count("finished"),
      failed: count("failed"),
      truncated: count("truncated"),
      client_left: count("client_left"),
      in_flight: started - ended.length,
    },
    usage: {
      prompt_tokens: ended.reduce((sum, end) => sum + end.tokens, 0),
      completion_tokens: ended.length,
    },
  };
}

describe("a rollout's view", () => {
  it("tells states, times in ISO 8601, and null for what has not happened", async () => {
    const { clock, ledger, lifecycle } = setUpDesk();
    const turn = begin(ledger, key("a"));
    await clock.advance(1500);
    ledger.endTurn(turn, ending("finished"));
    expect(viewOf(ledger, key("a"))).toEqual({
      id: "a",
      job_arn: jobArn,
      state: "open",
      turns: {
        started: 1,
        finished: 1,
        failed: 0,
        truncated: 0,
        client_left: 0,
        in_flight: 0,
        interrupted: 0,
        possible_duplicates: 0,
      },
      usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
      counts_may_be_short: false,
      first_activity_at: "2026-03-01T10:00:00.000Z",
      last_activity_at: "2026-03-01T10:00:01.500Z",
      completion: null,
      reward: null,
      superseded: [],
      inference_params: null,
      enforced: {},
      auxiliary: { calls: 0, failed: 0 },
      agent: null,
      warnings: [],
    });
    ledger.endTurn(begin(ledger, key("a")), ending("finished"));
    expect(viewOf(ledger, key("a"))?.first_activity_at).toBe("2026-03-01T10:00:00.000Z");
    await clock.advance(1000);
    const reward = { rewards: [1], asked: "1" };
    const accepted = lifecycle.submit(key("a"), { status: "ready", reward });
    expect(viewOf(ledger, key("a"))).toMatchObject({
      state: "completing",
      completion: { outcome: "pending", at: null, attempts: 0 },
    });
    await clock.until(accepted);
    expect(viewOf(ledger, key("a"))).toMatchObject({
      state: "rewarded",
      // Lifecycle calls are not the agent's activity.
      last_activity_at: "2026-03-01T10:00:01.500Z",
      completion: {
        status: "ready",
        outcome: "delivered",
        at: "2026-03-01T10:00:02.500Z",
        accepted_at: "2026-03-01T10:00:02.500Z",
        deadline_at: "2026-03-01T10:09:02.500Z",
        request_id: "req-1",
        attempts: 1,
        origin: "caller",
        error: null,
      },
      reward: { rewards: [1], outcome: "delivered", request_id: "req-2" },
    });
  });
});

describe("registration", () => {
  it("makes the trajectory's job known, and is the same rollout again", () => {
    const ledger = new Ledger();
    expect(ledger.registeredJobArn("a")).toBeUndefined();
    const rollout = ledger.register(key("a"));
    expect(ledger.registeredJobArn("a")).toBe(jobArn);
    expect(ledger.register(key("a"))).toBe(rollout);
    expect(begin(ledger, key("a")).rollout).toBe(rollout);
  });

  it("for another job is a conflict that names both", () => {
    const ledger = new Ledger();
    ledger.register(key("a"));
    expect(() => ledger.register({ jobArn: otherJob, trajectoryId: "a" })).toThrow(
      expect.objectContaining({
        code: "rollout_conflict",
        status: 409,
        message: `The rollout "a" is registered for ${jobArn} already and cannot be registered for ${otherJob}. Use another id.`,
      }),
    );
    expect(ledger.registeredJobArn("a")).toBe(jobArn);
  });
});

describe("the bound", () => {
  it("keeps those in use in memory and reads the others back", () => {
    const ledger = new Ledger({ maxInMemory: 2 });
    for (const id of ["a", "b", "c", "d"]) finishTurn(ledger, key(id));
    ledger.flush();
    expect(ledger.size).toBe(4);
    expect(begin(ledger, key("a")).number).toBe(2);
    expect(
      ledger
        .list(10)
        .map(({ trajectoryId }) => trajectoryId)
        .toSorted((one, other) => one.localeCompare(other)),
    ).toEqual(["a", "b", "c", "d"]);
  });

  it("has one account of a rollout whose turn outlasts its place in memory", () => {
    const ledger = new Ledger({ maxInMemory: 1 });
    const turn = begin(ledger, key("a"));
    ledger.flush();
    for (const id of ["b", "c"]) finishTurn(ledger, key(id));
    ledger.flush();
    expect(begin(ledger, key("a")).rollout).toBe(turn.rollout);
    ledger.endTurn(turn, ending("finished"));
    finishTurn(ledger, key("b"));
    ledger.flush();
    expect(viewOf(ledger, key("a"))?.turns).toMatchObject({
      started: 2,
      finished: 1,
      in_flight: 1,
    });
  });

  it("forgets the sealed one seen longest ago first, then the open one, its registration too", async () => {
    const { ledger, clock, lifecycle } = setUpDesk({ ledger: { maxRollouts: 2 } });
    ledger.register(key("a"));
    await clock.advance(5_000);
    finishTurn(ledger, key("b"));
    await clock.until(lifecycle.completeRollout(key("b"), "ready"));
    await clock.advance(5_000);
    finishTurn(ledger, key("c"));
    await clock.advance(5_000);
    const known = () => ledger.list(10).map(({ trajectoryId }) => trajectoryId);
    expect(known()).toEqual(["c", "a"]);
    // A sealed rollout takes no more turns: later accounts are as exact as before.
    expect(ledger.open(key("d")).countsMayBeShort).toBe(false);
    finishTurn(ledger, key("d"));
    await clock.advance(5_000);
    expect(known()).toEqual(["d", "c"]);
    expect(ledger.registeredJobArn("a")).toBeUndefined();
    expect(ledger.size).toBe(2);
  });

  it("makes later accounts say that they may be short once an open rollout was forgotten", async () => {
    const { ledger, clock } = setUpDesk({ ledger: { maxRollouts: 1 } });
    finishTurn(ledger, key("a"));
    expect(ledger.get(key("a"))?.capturedTurns()).toEqual({ finished: 1, uncertain: 0 });
    await clock.advance(2_000);
    finishTurn(ledger, key("b"));
    await clock.advance(2_000);
    finishTurn(ledger, key("a"));
    expect(ledger.get(key("a"))?.capturedTurns()).toBeUndefined();
    expect(viewOf(ledger, key("a"))).toMatchObject({
      counts_may_be_short: true,
      warnings: [expect.stringContaining("Turn counts may be short")],
    });
  });

  it("is not kept, but nothing else is lost, while the store cannot forget", async () => {
    const said: boolean[] = [];
    const store = Store.open(null);
    const onState = (isWritable: boolean) => said.push(isWritable);
    const { ledger, clock } = setUpDesk({ ledger: { store, maxRollouts: 1, onState } });
    const prune = vi.spyOn(store, "prune").mockImplementation(() => {
      throw new Error("full");
    });
    for (const id of ["a", "b"]) finishTurn(ledger, key(id));
    await clock.advance(2_000);
    expect([said, ledger.size]).toEqual([[false], 2]);
    prune.mockRestore();
    finishTurn(ledger, key("b"));
    await clock.advance(2_000);
    expect([said, ledger.size]).toEqual([[false, true], 1]);
  });

  it("does not forget what is still to be delivered", async () => {
    const { ledger, clock, client, lifecycle } = setUpDesk({ ledger: { maxRollouts: 1 } });
    client.gate = new Promise(() => undefined);
    finishTurn(ledger, key("a"));
    await clock.until(lifecycle.submit(key("a"), { status: "ready" }));
    await clock.advance(2_000);
    for (const id of ["b", "c"]) finishTurn(ledger, key(id));
    await clock.advance(2_000);
    expect(ledger.store.find(key("a"))?.state).toBe("completing");
    expect(ledger.store.find(key("b"))).toBeUndefined();
  });
});

describe("writing behind the corridor", () => {
  /** Rows as another reader of the store sees them. */
  const started = (store: Store) => store.latest(10).map((rollout) => rollout.started);

  it("writes a rollout never heard of before soon, and the rest within a second", async () => {
    const clock = new VirtualClock();
    const store = Store.open(null);
    const ledger = new Ledger({ store, ...clock });
    finishTurn(ledger, key("a"));
    expect(started(store)).toEqual([]);
    await clock.advance(50);
    expect(started(store)).toEqual([1]);
    for (let turn = 0; turn < 5; turn += 1) finishTurn(ledger, key("a"));
    await clock.advance(900);
    expect(started(store)).toEqual([1]);
    await clock.advance(100);
    expect(started(store)).toEqual([6]);
    expect(clock.timers).toBe(0);
  });
});

describe("possible duplicates", () => {
  const duplicates = (ledger: Ledger) => ledger.get(key("a"))?.possibleDuplicates;

  it.each(["truncated", "client_left"] as const)("are retries of a turn that was %s", (outcome) => {
    const ledger = new Ledger();
    ledger.endTurn(begin(ledger, key("a")), ending(outcome));
    begin(ledger, key("a"), 1);
    expect(duplicates(ledger)).toBe(1);
    expect(viewOf(ledger, key("a"))?.warnings).toEqual([
      expect.stringContaining("1 of its turns may repeat one that was captured before"),
    ]);
  });

  it("are retries whose first attempt was never seen here", () => {
    const ledger = new Ledger();
    begin(ledger, key("a"), 2);
    expect(duplicates(ledger)).toBe(1);
  });

  it("are not retries of a turn that was refused before it could be captured", () => {
    const ledger = new Ledger();
    const throttled = ending("failed", { code: "service_throttled" });
    ledger.endTurn(begin(ledger, key("a")), throttled);
    ledger.endTurn(begin(ledger, key("a"), 1), throttled);
    begin(ledger, key("a"), 2);
    expect(duplicates(ledger)).toBe(0);
    begin(ledger, key("a"), 1);
    expect(duplicates(ledger)).toBe(1);
  });

  it("are what the corridor says they are, where it knows", () => {
    const ledger = new Ledger();
    const start = { ...key("a"), stream: false, retryCount: 1, bytesIn: 1 };
    const first = ledger.beginTurn({ ...start, possibleDuplicate: false });
    expect(duplicates(ledger)).toBe(0);
    ledger.endTurn(first, ending("finished", { possibleDuplicate: true }));
    expect(duplicates(ledger)).toBe(1);
    const second = ledger.beginTurn({ ...start, possibleDuplicate: true });
    expect(duplicates(ledger)).toBe(2);
    ledger.endTurn(second, ending("failed", { possibleDuplicate: false }));
    expect(duplicates(ledger)).toBe(1);
  });

  it("are in the store before the turn goes up: nobody else knows of them", () => {
    const store = Store.open(null);
    const ledger = new Ledger({ store });
    begin(ledger, key("a"), 1);
    expect(store.find(key("a"))?.possibleDuplicates).toBe(1);
  });
});

describe("a turn that may not begin", () => {
  it("is one of a sealed rollout, from the moment its completion is accepted", async () => {
    const { ledger, clock, lifecycle } = setUpDesk();
    finishTurn(ledger, key("a"));
    const accepted = lifecycle.submit(key("a"), { status: "failed" });
    const refusal = {
      code: "rollout_sealed",
      status: 409,
      shouldRetry: false,
      message: expect.stringContaining(
        'The rollout "a" was completed as failed at 2026-03-01T10:00:00.000Z and takes no more turns; the request was not sent',
      ),
    };
    expect(() => begin(ledger, key("a"))).toThrow(expect.objectContaining(refusal));
    await clock.until(accepted);
    expect(() => begin(ledger, key("a"))).toThrow(expect.objectContaining(refusal));
    expect(viewOf(ledger, key("a"))?.turns.started).toBe(1);
  });

  it("is one beyond rollouts.max_turns; what was refused without capture does not count", () => {
    const ledger = new Ledger({ maxTurns: 2 });
    ledger.endTurn(begin(ledger, key("a")), ending("failed", { code: "service_throttled" }));
    finishTurn(ledger, key("a"));
    begin(ledger, key("a"));
    expect(() => begin(ledger, key("a"))).toThrow(
      expect.objectContaining({
        code: "max_turns_reached",
        status: 400,
        shouldRetry: false,
        message: expect.stringContaining("has had 2 turns, and rollouts.max_turns allows 2"),
      }),
    );
    expect(begin(ledger, key("b")).number).toBe(1);
  });
});

describe("captured turns", () => {
  it("are unknown where none came this way", () => {
    expect(new Ledger().register(key("a")).capturedTurns()).toBeUndefined();
  });

  it("are uncertain where the answer broke off, was abandoned, is under way or failed on the way", () => {
    const ledger = new Ledger();
    const ends = [
      ending("finished"),
      ending("truncated"),
      ending("client_left"),
      ending("failed", { code: "upstream_timeout" }),
      // Refused before it was captured.
      ending("failed", { code: "service_throttled" }),
    ];
    for (const end of ends) ledger.endTurn(begin(ledger, key("a")), end);
    begin(ledger, key("a"));
    expect(ledger.get(key("a"))?.capturedTurns()).toEqual({ finished: 1, uncertain: 4 });
  });
});

it("finds every job's rollout of one name", () => {
  const ledger = new Ledger();
  begin(ledger, key("a"));
  begin(ledger, { jobArn: otherJob, trajectoryId: "a" });
  begin(ledger, key("b"));
  const jobs = ledger.find("a").map((rollout) => rollout.jobArn);
  expect(new Set(jobs)).toEqual(new Set([jobArn, otherJob]));
  expect(ledger.find("c")).toEqual([]);
});
