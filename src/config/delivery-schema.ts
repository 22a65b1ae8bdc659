/** The keys of completions and rewards: how they are delivered, and what turnpike does about rollouts on its own. */
import { z } from "zod";
import { count, key } from "./key.ts";

const seconds = z.int().min(1).max(86_400);
const reward = z.number().nullable().default(null);

export const delivery = z.strictObject({
  deadline_s: key(
    seconds.default(540),
    "TURNPIKE_DELIVERY_DEADLINE_S",
    "How long a completion or reward is tried again, in seconds; keep it below the trainer's rollout_timeout (600 s).",
  ),
  max_concurrent: key(
    count.max(1024).default(32),
    "TURNPIKE_DELIVERY_MAX_CONCURRENT",
    "Rollouts whose completion or reward is sent at once.",
  ),
  wait_s: key(
    seconds.default(50),
    "TURNPIKE_DELIVERY_WAIT_S",
    "How long a request waits for its delivery before it is answered 202 with a Location, in seconds. `Prefer: wait=…` and `Prefer: respond-async` say otherwise; load balancers cut silence at 60 s.",
  ),
});

export const rollouts = z.strictObject({
  max_kept: key(
    z.int().min(100).max(10_000_000).default(50_000),
    "TURNPIKE_ROLLOUTS_MAX_KEPT",
    "Rollouts remembered, in state.dir or in memory; the one seen longest ago is forgotten first, never one with something to deliver.",
  ),
  max_turns: key(
    count.max(1_000_000).nullable().default(null),
    "TURNPIKE_ROLLOUTS_MAX_TURNS",
    "Turns a rollout may have; one more is answered 400 max_turns_reached. None: no limit.",
  ),
  refuse_empty: key(
    z.boolean().default(false),
    "TURNPIKE_ROLLOUTS_REFUSE_EMPTY",
    "Answer the completion of a rollout without a finished turn with 409 in place of a warning.",
  ),
  idle_timeout_s: key(
    seconds.nullable().default(null),
    "TURNPIKE_ROLLOUTS_IDLE_TIMEOUT_S",
    "Seconds without a turn after which an open rollout is taken for abandoned and completed as rollouts.idle_status says. None: never.",
  ),
  idle_status: key(
    z.enum(["ready", "failed"]).default("ready"),
    "TURNPIKE_ROLLOUTS_IDLE_STATUS",
    "What an abandoned rollout is completed as. One failed rollout can fail the whole job.",
  ),
  idle_reward: key(
    reward,
    "TURNPIKE_ROLLOUTS_IDLE_REWARD",
    "The reward of an abandoned rollout. None: it gets none.",
  ),
  fallback_reward: key(
    reward,
    "TURNPIKE_ROLLOUTS_FALLBACK_REWARD",
    "The reward of a rollout that has had a finished turn and has none by rollouts.fallback_after_s; an open one is completed as ready first. None: it gets none.",
  ),
  fallback_after_s: key(
    seconds.default(480),
    "TURNPIKE_ROLLOUTS_FALLBACK_AFTER_S",
    "When that is, in seconds after the rollout's first turn; keep it below the trainer's rollout_timeout (600 s).",
  ),
});
