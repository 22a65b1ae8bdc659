import { describe, expect, it } from "vitest";
import { rewardOfText, rewardOfValue } from "../../src/exec/reward-text.ts";

describe("the reward in a text", () => {
  it.each<[string, object]>([
    ["1", { reward: { reward: 1 }, status: "ready" }],
    ["  -0.5 \n", { reward: { reward: -0.5 }, status: "ready" }],
    ['{"reward": 0.5}', { reward: { reward: 0.5 }, status: "ready" }],
    ['{"rewards": [1, 0], "why": "x"}', { reward: { rewards: [1, 0] }, status: "ready" }],
    ['{"reward": 1, "shape": "last"}', { reward: { reward: 1, shape: "last" }, status: "ready" }],
    ['{"reward": 0, "status": "failed"}', { reward: { reward: 0 }, status: "failed" }],
    [
      '0.1\nlog line\n{"reward": 0.2}\nbye\n{"other": 1}\n',
      { reward: { reward: 0.2 }, status: "ready" },
    ],
    ['{\n  "reward": 0.25\n}\n', { reward: { reward: 0.25 }, status: "ready" }],
  ])("%j is %j", (text, stated) => {
    expect(rewardOfText(text, "it")).toEqual(stated);
  });

  it.each([
    [
      "",
      'No reward in it: no line of it is a number, {"reward": …} or {"rewards": […]}; it is empty.',
    ],
    ["done\n", 'The last line is "done".'],
    ['{"score": 1}', "No reward in it"],
    [
      '{"reward": "high"}',
      'The reward in it cannot be used. `reward` is the text "high"; it must be a finite number.',
    ],
    ['{"rewards": []}', "`rewards` is an empty list"],
    ['{"reward": 1, "rewards": [1]}', "not both"],
    ["1e999", "`reward` is Infinity"],
    [
      '{"reward": 1, "status": "done"}',
      '`status` in it is "done"; it must be "ready" or "failed".',
    ],
  ])("%j is refused: %s", (text, message) => {
    expect(() => rewardOfText(text, "it")).toThrow(message);
  });

  it("may be missing where the agent itself says that it failed", () => {
    expect(rewardOfValue({ status: "failed" }, "it")).toEqual({ reward: {}, status: "failed" });
    expect(() => rewardOfValue({ status: "ready" }, "it")).toThrow("Give `reward`");
  });
});
