/** The keys of what happens to a turn that fails: sent again, joined by a retry, or refused for a while. */
import { z } from "zod";
import { key, milliseconds } from "./key.ts";

export const retries = z.strictObject({
  max_attempts: key(
    z.int().min(1).max(10).default(4),
    "TURNPIKE_RETRIES_MAX_ATTEMPTS",
    "Calls to the service per turn, the first included. Only what cannot have been captured is sent again.",
  ),
  base_delay_ms: key(
    milliseconds.default(250),
    "TURNPIKE_RETRIES_BASE_DELAY_MS",
    "Upper end of the first random delay before sending again, doubled each time, in milliseconds.",
  ),
  max_delay_ms: key(
    milliseconds.default(8_000),
    "TURNPIKE_RETRIES_MAX_DELAY_MS",
    "Upper end of any such delay, in milliseconds; the service's retry-after comes on top.",
  ),
  budget_ratio: key(
    z.number().min(0).max(1).default(0.2),
    "TURNPIKE_RETRIES_BUDGET_RATIO",
    "Resends the whole process may make per turn, so that an outage is not made worse.",
  ),
  ambiguous: key(
    z.enum(["error", "resend"]).default("error"),
    "TURNPIKE_RETRIES_AMBIGUOUS",
    "When nobody can tell whether the service captured a turn: `error` tells the client so and not to retry; `resend` sends it again and marks the rollout possible_duplicates.",
  ),
  replay: key(
    z.boolean().default(true),
    "TURNPIKE_RETRIES_REPLAY",
    "A client's marked retry (X-Stainless-Retry-Count) of the same body joins the turn in flight, or gets its answer again.",
  ),
  replay_ttl_ms: key(
    milliseconds.default(30_000),
    "TURNPIKE_RETRIES_REPLAY_TTL_MS",
    "How long a finished answer is kept for that, in milliseconds.",
  ),
  replay_max_bytes: key(
    z.int().min(65_536).max(4_294_967_296).default(8_388_608),
    "TURNPIKE_RETRIES_REPLAY_MAX_BYTES",
    "Bytes of finished answers kept for that in all; one answer may take a quarter of it.",
  ),
  join_grace_ms: key(
    z.int().min(0).max(600_000).default(0),
    "TURNPIKE_RETRIES_JOIN_GRACE_MS",
    "How long a turn goes on after its client has left, for a retry to join it, in milliseconds; 0 ends it at once.",
  ),
});

export const circuit = z.strictObject({
  failures: key(
    z.int().min(0).max(10_000).default(10),
    "TURNPIKE_CIRCUIT_FAILURES",
    "Connection failures and 5xx in a row after which turns fail at once for a while; 0 never does that.",
  ),
  open_ms: key(
    milliseconds.default(5_000),
    "TURNPIKE_CIRCUIT_OPEN_MS",
    "How long that lasts before one turn is let through as a probe, in milliseconds.",
  ),
});
