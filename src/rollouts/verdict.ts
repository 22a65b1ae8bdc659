/** What an attempt to deliver has come to, and when to try again. No I/O and no state. */
import type { GatewayError, GatewayErrorCode } from "../errors.ts";
import { isAlreadyMovedOn } from "../job-runtime/errors.ts";
import { isDone, type Operation } from "./operation.ts";
import type { Rollout } from "./rollout.ts";

export type Verdict = "already_done" | "refused" | "retry";

/** Nothing that waiting could mend (service.md, "Errors"). Everything else is tried until the deadline. */
const finalCodes: ReadonlySet<GatewayErrorCode> = new Set<GatewayErrorCode>([
  "service_validation",
  "service_access_denied",
  "service_not_found",
  "service_conflict",
  "insufficient_quota",
]);

/** The request may have been taken although no answer says so. */
const ambiguousCodes: ReadonlySet<GatewayErrorCode> = new Set<GatewayErrorCode>([
  "upstream_reset",
  "upstream_timeout",
  "upstream_protocol",
  "service_internal",
  "service_unavailable",
  "internal",
]);

/** What a failed attempt means. */
export function verdictOn(error: GatewayError, operation: Operation, rollout: Rollout): Verdict {
  if (isTaken(error, operation, rollout)) return "already_done";
  return finalCodes.has(error.code) ? "refused" : "retry";
}

/** Whether the service may have what the attempt said. */
export function mayHaveArrived(error: GatewayError): boolean {
  return ambiguousCodes.has(error.code);
}

/**
 * [sdk] A trajectory that has moved on, or is gone after an acknowledged completion, has what was to be said. Of a
 * reward before its completion the same words may mean that the trajectory is not there yet: taking them for done
 * would lose the reward.
 */
function isTaken(error: GatewayError, { said }: Operation, { completion }: Rollout): boolean {
  const isCompleted = completion !== undefined && isDone(completion);
  if (said.operation === "update_reward" && !isCompleted) return false;
  return isAlreadyMovedOn(error) || (error.code === "service_not_found" && isCompleted);
}

/** In milliseconds: the first retry comes within this time, each later one within twice as much. */
const firstBackoffMs = 250;
const longestBackoffMs = 15_000;

/**
 * Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), never sooner than the
 * service asked for. `random` is in [0, 1).
 */
export function backoffMs(attempts: number, error: GatewayError, random: number): number {
  const most = Math.min(longestBackoffMs, firstBackoffMs * 2 ** Math.min(attempts - 1, 16));
  return Math.ceil(Math.max(random * most, error.retryAfterMs ?? 0));
}
