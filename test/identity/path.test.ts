import { expect, it } from "vitest";
import { rolloutPathSegment } from "../../src/identity/path.ts";

it.each([
  ["/rollouts/abc/v1/chat/completions", "abc"],
  ["/rollouts/abc", "abc"],
  ["/rollouts/a%2Fb%/v1/models?x=1", "a%2Fb%"],
  ["/rollouts/abc?limit=1", "abc"],
  ["//rollouts/abc/v1", "abc"],
  ["http://127.0.0.1:8484/rollouts/abc/v1", "abc"],
  ["/rollouts//v1/chat/completions", ""],
  ["/rollouts", undefined],
  ["/v1/chat/completions", undefined],
  ["/v1/rollouts/abc", undefined],
  ["/v1/models?next=/rollouts/abc", undefined],
])("finds in %s the segment %j", (target, segment) => {
  expect(rolloutPathSegment(target)).toBe(segment);
});
