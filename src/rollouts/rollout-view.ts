/** A rollout as `GET /rollouts/{id}` shows it: snake_case, times in ISO 8601, `null` for what has not happened. */
import type { Acknowledgement, DeliveryOutcome, Rollout, RolloutState } from "./rollout.ts";
import type { RolloutNotesView } from "./rollout-notes.ts";

interface AcknowledgementView {
  readonly outcome: DeliveryOutcome;
  readonly at: string;
  /** The service's. */
  readonly request_id: string | null;
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
  };
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  };
  readonly first_activity_at: string | null;
  readonly last_activity_at: string | null;
  readonly completion: (AcknowledgementView & { readonly status: "ready" | "failed" }) | null;
  readonly reward: (AcknowledgementView & { readonly rewards: readonly number[] }) | null;
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
    },
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    },
    first_activity_at: iso(rollout.firstActivityAt),
    last_activity_at: iso(rollout.lastActivityAt),
    completion: completion ? { status: completion.status, ...acknowledgement(completion) } : null,
    reward: reward ? { rewards: reward.rewards, ...acknowledgement(reward) } : null,
    ...rollout.notes.view(),
    warnings: rollout.warnings(),
  };
}

function acknowledgement({ outcome, at, requestId }: Acknowledgement): AcknowledgementView {
  return { outcome, at: new Date(at).toISOString(), request_id: requestId ?? null };
}

function iso(milliseconds: number | undefined): string | null {
  return milliseconds === undefined ? null : new Date(milliseconds).toISOString();
}
