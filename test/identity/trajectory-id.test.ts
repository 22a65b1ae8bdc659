import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkPathTrajectoryId,
  decodeTrajectoryId,
  trajectoryIdProblem,
} from "../../src/identity/trajectory-id.ts";

function invalid(message: string) {
  return expect.objectContaining({
    code: "invalid_identity",
    status: 400,
    message: expect.stringContaining(message),
  });
}

describe("trajectoryIdProblem", () => {
  it.each(["a", "traj-1", "a b", "rollout/7?x=1#y", '~!"%', "x".repeat(256)])("takes %j", (id) => {
    expect(trajectoryIdProblem(id)).toBeUndefined();
  });

  it.each([
    ["", "is empty"],
    ["x".repeat(257), "has 257 characters; a trajectory id has at most 256"],
    [" a", "begins or ends with a space"],
    ["a ", "begins or ends with a space"],
    ["a\r\nX-Evil: 1", "the control character U+000D at position 2"],
    ["a\u0000", "the control character U+0000 at position 2"],
    ["tab\there", "the control character U+0009 at position 4"],
    ["naïve", '"ï" (U+00EF) at position 3'],
    ["café", '"é" (U+00E9) at position 4'],
    ["go🚀", '"🚀" (U+1F680) at position 3'],
  ])("says of %j what is wrong and where", (id, problem) => {
    expect(trajectoryIdProblem(id)).toContain(problem);
  });

  it("lets through only what a header carries unchanged", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (id) => {
        const carried = /^[\x20-\x7e]+$/.test(id) && id.trim() === id && id.length <= 256;
        expect(trajectoryIdProblem(id) === undefined).toBe(carried);
      }),
    );
  });
});

describe("decodeTrajectoryId", () => {
  it("gives back every id that was percent-encoded into a path", () => {
    const ids = fc
      .stringMatching(/^[!-~]([ -~]{0,40}[!-~])?$/)
      .filter((id) => !/^(\.\.?|v1)$/.test(id));
    fc.assert(
      fc.property(ids, (id) => {
        expect(decodeTrajectoryId(encodeURIComponent(id))).toBe(id);
      }),
    );
  });

  it.each(["%", "a%2", "%zz", "%ff", "%c3"])(
    "refuses the broken percent-encoding %j",
    (segment) => {
      expect(() => decodeTrajectoryId(segment)).toThrow(invalid("is not valid percent-encoding"));
    },
  );

  it("refuses a line break that was smuggled in by percent-encoding", () => {
    expect(() => decodeTrajectoryId("a%0d%0aX-Evil:1")).toThrow(
      invalid(
        "The trajectory id in the path, /rollouts/{trajectory}/…, has the control character U+000D",
      ),
    );
  });

  it("takes /rollouts/v1/… for a base URL whose id was empty", () => {
    expect(() => decodeTrajectoryId("v1")).toThrow(
      invalid("how a base URL with an empty id reads"),
    );
  });

  it.each([".", "..", "%2e%2e"])("refuses %j, which URLs resolve away", (segment) => {
    expect(() => decodeTrajectoryId(segment)).toThrow(invalid("which URLs resolve away"));
  });
});

it("names the place of an id that has to fit into a path", () => {
  expect(checkPathTrajectoryId("a", "`id`")).toBe("a");
  expect(() => checkPathTrajectoryId("..", "`id`")).toThrow(
    invalid('The trajectory id in `id` is ".."'),
  );
});
