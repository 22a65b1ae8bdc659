/** Turns that do not go upstream: the rollout is sealed, or has had all it may have. */
import { GatewayError } from "../errors.ts";
import type { Rollout } from "./rollout.ts";

/** Throws `rollout_sealed` or `max_turns_reached`; asked for every turn, so the usual answer is two comparisons. */
export function refuseTurn(rollout: Rollout, maxTurns: number): void {
  const mayBeSealed = rollout.completion !== undefined || rollout.reward !== undefined;
  if (mayBeSealed && rollout.isSealed) throw sealed(rollout);
  if (rollout.capturable >= maxTurns) throw full(rollout, maxTurns);
}

function sealed({ trajectoryId, completion, state }: Rollout): GatewayError {
  const when = completion && new Date(completion.acceptedAt).toISOString();
  const how = completion ? `completed as ${completion.said.status} at ${when}` : state;
  return new GatewayError(
    "rollout_sealed",
    `The rollout ${JSON.stringify(trajectoryId)} was ${how} and takes no more turns; the request was not sent to the service. Make turns before completing a rollout, and start another rollout under another trajectory id.`,
  );
}

function full({ trajectoryId, capturable }: Rollout, maxTurns: number): GatewayError {
  return new GatewayError(
    "max_turns_reached",
    `The rollout ${JSON.stringify(trajectoryId)} has had ${capturable} turns, and rollouts.max_turns allows ${maxTurns}; the request was not sent to the service. Complete the rollout with POST /rollouts/{id}/complete.`,
  );
}
