/** One rollout's account: plain counters, added to by the ledger, read by views, rewards and the lifecycle. */
import type { GatewayErrorCode } from "../errors.ts";
import type { RolloutStatus } from "../job-runtime/lifecycle.ts";
import { RolloutNotes } from "./rollout-notes.ts";
import type { TurnEnd } from "./turn.ts";

/** `already_done`: the service said the trajectory had moved on before. */
export type DeliveryOutcome = "delivered" | "already_done";

/** What the service acknowledged. */
export interface Acknowledgement {
  readonly outcome: DeliveryOutcome;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly requestId: string | undefined;
}

export interface Completion extends Acknowledgement {
  readonly status: RolloutStatus;
}

export interface Reward extends Acknowledgement {
  readonly rewards: readonly number[];
}

export type RolloutState = "open" | "ready" | "failed" | "rewarded";

/** How many turns the service may have captured. */
export interface CapturedTurns {
  /** Answered in full: captured for certain. */
  readonly finished: number;
  /** Broken off, abandoned, in flight or failed on the way: nobody here can tell. */
  readonly uncertain: number;
}

/** Failures after which the service may have captured the turn nevertheless (design.md, "One logical turn"). */
const ambiguousCodes: ReadonlySet<GatewayErrorCode> = new Set<GatewayErrorCode>([
  "upstream_reset",
  "upstream_protocol",
  "upstream_stream_error",
  "upstream_timeout",
  "stream_truncated",
]);

export class Rollout {
  readonly jobArn: string;
  readonly trajectoryId: string;
  /** False when an earlier account of this rollout may have been forgotten: then its counts may be short. */
  readonly exact: boolean;
  registered = false;
  started = 0;
  finished = 0;
  failed = 0;
  truncated = 0;
  clientLeft = 0;
  promptTokens = 0;
  completionTokens = 0;
  firstActivityAt: number | undefined;
  lastActivityAt: number | undefined;
  completion: Completion | undefined;
  reward: Reward | undefined;
  readonly notes = new RolloutNotes();
  #ambiguousFailures = 0;

  constructor(jobArn: string, trajectoryId: string, exact: boolean) {
    this.jobArn = jobArn;
    this.trajectoryId = trajectoryId;
    this.exact = exact;
  }

  /** The number of the turn that begins. */
  begin(now: number): number {
    this.firstActivityAt ??= now;
    this.lastActivityAt = now;
    this.started += 1;
    return this.started;
  }

  end({ outcome, code, usage }: TurnEnd, now: number): void {
    this.lastActivityAt = now;
    if (outcome === "finished") this.finished += 1;
    else if (outcome === "truncated") this.truncated += 1;
    else if (outcome === "client_left") this.clientLeft += 1;
    else {
      this.failed += 1;
      if (code !== undefined && ambiguousCodes.has(code)) this.#ambiguousFailures += 1;
    }
    if (usage === undefined) return;
    this.promptTokens += usage.promptTokens;
    this.completionTokens += usage.completionTokens;
  }

  get inFlight(): number {
    return this.started - this.finished - this.failed - this.truncated - this.clientLeft;
  }

  get state(): RolloutState {
    if (this.reward !== undefined) return "rewarded";
    return this.completion?.status ?? "open";
  }

  /** `undefined` where the ledger cannot know: no turn came this way, or it may have forgotten some. */
  capturedTurns(): CapturedTurns | undefined {
    if (this.started === 0 || !this.exact) return undefined;
    const uncertain = this.truncated + this.clientLeft + this.inFlight + this.#ambiguousFailures;
    return { finished: this.finished, uncertain };
  }

  /** What whoever trains on this rollout should know. */
  warnings(): string[] {
    const warnings: string[] = [];
    if (!this.exact) {
      warnings.push(
        "Turn counts may be short: turnpike keeps a bounded number of rollouts and may have forgotten this one in between.",
      );
    }
    if (this.completion !== undefined && this.finished === 0) {
      warnings.push(
        "Completed without a single finished turn: the model was never heard in this rollout, and a job can fail over that. Check that the agent's calls go through this turnpike and name this trajectory.",
      );
    }
    return warnings;
  }
}
