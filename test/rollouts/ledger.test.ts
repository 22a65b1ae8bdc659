import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Ledger, type LedgerTurn, type RolloutKey } from "../../src/rollouts/ledger.ts";
import { viewRollout } from "../../src/rollouts/rollout-view.ts";
import type { TurnEnd, TurnOutcome } from "../../src/rollouts/turn.ts";

const jobArn = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/one";
const otherJob = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/two";
const key = (trajectoryId: string): RolloutKey => ({ jobArn, trajectoryId });

function begin(ledger: Ledger, of: RolloutKey): LedgerTurn {
  return ledger.beginTurn({ ...of, stream: false, retryCount: 0, bytesIn: 10 });
}

function ending(outcome: TurnOutcome, more: Partial<TurnEnd> = {}): TurnEnd {
  return { outcome, status: 200, bytesOut: 10, durationMs: 5, attempts: 1, ...more };
}

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
  it("tells states, times in ISO 8601, and null for what has not happened", () => {
    let now = Date.parse("2026-03-01T10:00:00.000Z");
    const ledger = new Ledger({ now: () => now });
    const turn = begin(ledger, key("a"));
    now += 1500;
    ledger.endTurn(turn, ending("finished"));
    expect(viewOf(ledger, key("a"))).toEqual({
      id: "a",
      job_arn: jobArn,
      state: "open",
      turns: { started: 1, finished: 1, failed: 0, truncated: 0, client_left: 0, in_flight: 0 },
      usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
      first_activity_at: "2026-03-01T10:00:00.000Z",
      last_activity_at: "2026-03-01T10:00:01.500Z",
      completion: null,
      reward: null,
      inference_params: null,
      enforced: {},
      auxiliary: { calls: 0, failed: 0 },
      agent: null,
      warnings: [],
    });
    begin(ledger, key("a"));
    expect(viewOf(ledger, key("a"))?.first_activity_at).toBe("2026-03-01T10:00:00.000Z");
    now += 1000;
    ledger.markCompleted(key("a"), { status: "ready", outcome: "delivered", requestId: "r1" });
    ledger.markRewarded(key("a"), { rewards: [1], outcome: "delivered", requestId: undefined });
    expect(viewOf(ledger, key("a"))).toMatchObject({
      state: "rewarded",
      // Lifecycle calls are not the agent's activity.
      last_activity_at: "2026-03-01T10:00:01.500Z",
      completion: {
        status: "ready",
        outcome: "delivered",
        at: "2026-03-01T10:00:02.500Z",
        request_id: "r1",
      },
      reward: {
        rewards: [1],
        outcome: "delivered",
        at: "2026-03-01T10:00:02.500Z",
        request_id: null,
      },
    });
  });

  it.each(["ready", "failed"] as const)(
    "is %s after that completion, with a warning when no turn was finished",
    (status) => {
      const ledger = new Ledger();
      ledger.endTurn(begin(ledger, key("a")), ending("failed"));
      ledger.markCompleted(key("a"), { status, outcome: "delivered", requestId: undefined });
      const view = viewOf(ledger, key("a"));
      expect(view?.state).toBe(status);
      expect(view?.warnings).toEqual([
        expect.stringContaining("Completed without a single finished turn"),
      ]);
    },
  );
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
  it("forgets the rollout idle longest, its registration too", () => {
    const ledger = new Ledger({ maxRollouts: 2 });
    ledger.register(key("a"));
    begin(ledger, key("b"));
    begin(ledger, key("a"));
    begin(ledger, key("c"));
    expect(ledger.list(10).map((rollout) => rollout.trajectoryId)).toEqual(["c", "a"]);
    expect(ledger.registeredJobArn("a")).toBe(jobArn);
    begin(ledger, key("d"));
    begin(ledger, key("e"));
    expect(ledger.registeredJobArn("a")).toBeUndefined();
    expect(ledger.size).toBe(2);
  });

  it("makes later accounts say that they may be short, and leaves earlier ones exact", () => {
    const ledger = new Ledger({ maxRollouts: 1 });
    ledger.endTurn(begin(ledger, key("a")), ending("finished"));
    expect(ledger.get(key("a"))?.capturedTurns()).toEqual({ finished: 1, uncertain: 0 });
    begin(ledger, key("b"));
    ledger.endTurn(begin(ledger, key("a")), ending("finished"));
    expect(ledger.get(key("a"))?.capturedTurns()).toBeUndefined();
    expect(viewOf(ledger, key("a"))?.warnings).toEqual([
      expect.stringContaining("Turn counts may be short"),
    ]);
  });

  it("does not lose the end of a turn whose rollout was forgotten", () => {
    const ledger = new Ledger({ maxRollouts: 1 });
    const turn = begin(ledger, key("a"));
    begin(ledger, key("b"));
    ledger.endTurn(turn, ending("finished"));
    expect(turn.rollout.finished).toBe(1);
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
