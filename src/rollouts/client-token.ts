/** The idempotency token of a lifecycle call. */
import { hash } from "node:crypto";
import type { RolloutKey } from "./rollout-key.ts";

/**
 * Derived from what is being said, 64 hexadecimal characters: a retry, or a restarted turnpike, says the same
 * with the same token, and another status or other rewards have another one.
 */
export function clientToken(
  operation: "CompleteRollout" | "UpdateReward",
  { jobArn, trajectoryId }: RolloutKey,
  content: string | readonly number[],
): string {
  return hash("sha256", JSON.stringify([operation, jobArn, trajectoryId, content]));
}
