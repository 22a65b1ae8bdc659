/** A rollout as `GET /rollouts/{id}` shows it: snake_case, times in ISO 8601, `null` for what has not happened. */
import type { Operation, OperationOrigin, OperationState } from "./operation.ts";
import type { Rollout, RolloutState } from "./rollout.ts";
import type { RolloutNotesView } from "./rollout-notes.ts";

/** What was said to the service, and what became of it. */
interface OperationView {
  readonly outcome: OperationState;
  /** When that was so; `null` while it is pending. */
  readonly at: string | null;
  /** The service's. */
  readonly request_id: string | null;
  readonly accepted_at: string;
  readonly deadline_at: string;
  readonly attempts: number;
  /** `caller`, or why turnpike said it of its own accord. */
  readonly origin: OperationOrigin;
  /** Why the last attempt failed. */
  readonly error: { readonly code: string; readonly message: string } | null;
}

interface SupersededView extends OperationView {
  readonly operation: "complete_rollout" | "update_reward";
}

export interface RolloutView extends RolloutNotesView {
  readonly id: string;
  readonly job_arn: string;
  readonly state: RolloutState;
  readonly turns: {
    readonly started: number;
    readonly finished: number;
    readonly failed: number;
    readonly truncated: number;
    readonly client_left: number;
    readonly in_flight: number;
    /** Under way when turnpike was killed. */
    readonly interrupted: number;
    readonly possible_duplicates: number;
  };
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  };
  /** Turns may be missing from the counts: turnpike was killed, or had forgotten the rollout, while it was open. */
  readonly counts_may_be_short: boolean;
  readonly first_activity_at: string | null;
  readonly last_activity_at: string | null;
  readonly completion: (OperationView & { readonly status: "ready" | "failed" }) | null;
  readonly reward: (OperationView & { readonly rewards: readonly number[] }) | null;
  /** Completions and rewards that were refused before those. */
  readonly superseded: readonly SupersededView[];
  readonly warnings: readonly string[];
}

export function viewRollout(rollout: Rollout): RolloutView {
  const { completion, reward, promptTokens, completionTokens } = rollout;
  return {
    id: rollout.trajectoryId,
    job_arn: rollout.jobArn,
    state: rollout.state,
    turns: {
      started: rollout.started,
      finished: rollout.finished,
      failed: rollout.failed,
      truncated: rollout.truncated,
      client_left: rollout.clientLeft,
      in_flight: rollout.inFlight,
      interrupted: rollout.interrupted,
      possible_duplicates: rollout.possibleDuplicates,
    },
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    },
    counts_may_be_short: rollout.countsMayBeShort,
    first_activity_at: iso(rollout.firstActivityAt),
    last_activity_at: iso(rollout.lastActivityAt),
    completion: completion
      ? { status: completion.said.status, ...viewOperation(completion) }
      : null,
    reward: reward ? { rewards: reward.said.rewards, ...viewOperation(reward) } : null,
    superseded: rollout.superseded.map((operation) => ({
      operation: operation.said.operation,
      ...viewOperation(operation),
    })),
    ...rollout.notes.view(),
    warnings: rollout.warnings(),
  };
}

function viewOperation(operation: Operation): OperationView {
  const { state, fault } = operation;
  return {
    outcome: state,
    at: iso(operation.settledAt),
    request_id: operation.requestId ?? null,
    accepted_at: new Date(operation.acceptedAt).toISOString(),
    deadline_at: new Date(operation.deadlineAt).toISOString(),
    attempts: operation.attempts,
    origin: operation.origin,
    error: fault === undefined ? null : { code: fault.code, message: fault.message },
  };
}

function iso(milliseconds: number | undefined): string | null {
  return milliseconds === undefined ? null : new Date(milliseconds).toISOString();
}
