import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseReward, type RewardFields, shapeRewards } from "../../src/rollouts/reward.ts";

const turns = (finished: number, uncertain = 0) => ({ finished, uncertain });

function shaped(fields: RewardFields, seen?: ReturnType<typeof turns>) {
  return shapeRewards(parseReward(fields), seen);
}

function refusal(code: string, message: string) {
  return expect.objectContaining({ code, status: 400, message: expect.stringContaining(message) });
}

describe("a single reward", () => {
  it("goes out as [r], whatever the number of turns", () => {
    for (const seen of [undefined, turns(0), turns(1), turns(7)]) {
      expect(shaped({ reward: 0.5 }, seen)).toEqual([0.5]);
      expect(shaped({ reward: 0.5, shape: "scalar" }, seen)).toEqual([0.5]);
    }
  });

  it("stands at the last turn after zeros when asked for", () => {
    expect(shaped({ reward: -1, shape: "last" }, turns(3))).toEqual([0, 0, -1]);
    expect(shaped({ reward: -1, shape: "last" }, turns(1))).toEqual([-1]);
  });

  it("is repeated for every finished turn when asked for", () => {
    expect(shaped({ reward: 2, shape: "broadcast" }, turns(3, 1))).toEqual([2, 2, 2]);
  });

  it.each(["last", "broadcast"])(
    "cannot take the shape %s when the turns are not known",
    (shape) => {
      expect(() => shaped({ reward: 1, shape })).toThrow(
        refusal(
          "invalid_reward",
          `The shape \`${shape}\` needs the number of finished turns, and turnpike does not know how many`,
        ),
      );
      expect(() => shaped({ reward: 1, shape }, turns(0, 2))).toThrow(
        refusal("invalid_reward", "this rollout has none"),
      );
    },
  );

  it.each([
    [{ reward: Number.NaN }, "`reward` is NaN; it must be a finite number"],
    [{ reward: Number.POSITIVE_INFINITY }, "`reward` is Infinity; it must be a finite number"],
    [{ reward: "1" }, '`reward` is the text "1"; it must be a finite number'],
    [{ reward: null }, "`reward` is null"],
    [{ reward: true }, "`reward` is true"],
    [{ reward: [1] }, "`reward` is a list"],
    [{ reward: { value: 1 } }, "`reward` is an object"],
    [{ reward: 1, shape: "mean" }, '`shape` is the text "mean"; it must be "scalar"'],
    [{ reward: 1, shape: null }, "`shape` is null"],
    [{}, "Give `reward` (a finite number) or `rewards` (a list of finite numbers)."],
    [{ shape: "last" }, "Give `reward`"],
    [
      { reward: 1, rewards: [1] },
      "Give either `reward` (a number) or `rewards` (a list of numbers), not both.",
    ],
  ])("is refused as %j: %s", (fields, message) => {
    expect(() => parseReward(fields)).toThrow(refusal("invalid_reward", message));
  });
});

describe("a list of rewards", () => {
  it("goes out as it is when it has one value per finished turn", () => {
    expect(shaped({ rewards: [0, 0.5, -1] }, turns(3))).toEqual([0, 0.5, -1]);
  });

  it("is refused when it has not, with both numbers", () => {
    expect(() => shaped({ rewards: [1, 2] }, turns(3))).toThrow(
      refusal(
        "reward_count_mismatch",
        "`rewards` has 2 values, but turnpike saw 3 finished turns in this rollout. Give one value per turn",
      ),
    );
    expect(() => shaped({ rewards: [1, 2] }, turns(1))).toThrow(
      refusal("reward_count_mismatch", "has 2 values, but turnpike saw 1 finished turn in"),
    );
  });

  it("goes out unchecked when the turns are not known", () => {
    expect(shaped({ rewards: [1, 2, 3, 4] })).toEqual([1, 2, 3, 4]);
  });

  it("may count turns of which nobody knows whether they were captured", () => {
    expect(shaped({ rewards: [1] }, turns(1, 2))).toEqual([1]);
    expect(shaped({ rewards: [1, 1, 1] }, turns(1, 2))).toEqual([1, 1, 1]);
    expect(() => shaped({ rewards: [1, 1, 1, 1] }, turns(1, 2))).toThrow(
      refusal(
        "reward_count_mismatch",
        "saw 1 finished turn in this rollout, and 2 more that may have been captured",
      ),
    );
  });

  it.each([
    [
      { rewards: [] },
      "`rewards` is an empty list; it must be a list of at least one finite number",
    ],
    [{ rewards: 1 }, "`rewards` is 1; it must be a list"],
    [{ rewards: null }, "`rewards` is null"],
    [{ rewards: "1,2" }, '`rewards` is the text "1,2"'],
    [{ rewards: [1, "2"] }, '`rewards[1]` is the text "2"; it must be a finite number'],
    [{ rewards: [Number.NaN] }, "`rewards[0]` is NaN"],
    [{ rewards: [1], shape: "last" }, "`shape` says how a single `reward` is spread"],
  ])("is refused as %j: %s", (fields, message) => {
    expect(() => parseReward(fields)).toThrow(refusal("invalid_reward", message));
  });
});

it("never sends anything but finite numbers, at least one", () => {
  const value = fc.oneof(
    fc.double(),
    fc.string(),
    fc.constant(null),
    fc.boolean(),
    fc.array(fc.double(), { maxLength: 4 }),
  );
  const fields = fc.record(
    { reward: value, rewards: value, shape: fc.constantFrom("scalar", "last", "broadcast", "x") },
    { requiredKeys: [] },
  );
  const seen = fc.option(
    fc.record({ finished: fc.nat({ max: 5 }), uncertain: fc.nat({ max: 2 }) }),
    { nil: undefined },
  );
  fc.assert(
    fc.property(fields, seen, (given, count) => {
      let sent: readonly number[];
      try {
        sent = shaped(given, count);
      } catch (error) {
        expect(error).toMatchObject({ status: 400 });
        return;
      }
      expect(sent.length).toBeGreaterThan(0);
      expect(sent.every(Number.isFinite)).toBe(true);
    }),
  );
});
