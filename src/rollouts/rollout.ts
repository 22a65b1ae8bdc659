/** One rollout's account: plain counters, added to by the ledger, read by views, rewards and the lifecycle. */
import { ambiguousCodes, type GatewayErrorCode } from "../errors.ts";
import {
  type Completing,
  isBinding,
  isDone,
  type Operation,
  type Rewarding,
  type Statement,
} from "./operation.ts";
import type { RolloutKey } from "./rollout-key.ts";
import { RolloutNotes } from "./rollout-notes.ts";
import type { TurnEnd } from "./turn.ts";

/** `completing`: its completion is accepted and under way. */
export type RolloutState = "open" | "completing" | "ready" | "failed" | "rewarded";

/** How many turns the service may have captured. */
export interface CapturedTurns {
  /** Answered in full: captured for certain. */
  readonly finished: number;
  /** Broken off, abandoned, in flight or failed on the way: nobody here can tell. */
  readonly uncertain: number;
}

/** Operations that another one has taken the place of; more of them are in the store. */
const maxSuperseded = 5;

export class Rollout implements RolloutKey {
  readonly jobArn: string;
  readonly trajectoryId: string;
  /** When it was first heard of, in milliseconds since the epoch. */
  readonly createdAt: number;
  /** An earlier account of it, or the end of this one, may be lost: then its counts may be short. */
  countsMayBeShort = false;
  /** Has counts that the store does not have. */
  isDirty = false;
  registered = false;
  started = 0;
  finished = 0;
  failed = 0;
  truncated = 0;
  clientLeft = 0;
  /** In flight when turnpike was killed. */
  interrupted = 0;
  /** … of those failed. */
  ambiguousFailures = 0;
  /** Turns sent for a client's retry whose first attempt may have been captured. */
  possibleDuplicates = 0;
  promptTokens = 0;
  completionTokens = 0;
  firstActivityAt: number | undefined;
  lastActivityAt: number | undefined;
  /** What was last accepted; it may be pending, or refused. */
  completion: Operation<Completing> | undefined;
  reward: Operation<Rewarding> | undefined;
  /** Refused ones that were followed by another, the latest last. */
  readonly superseded: Operation[] = [];
  readonly notes = new RolloutNotes();
  /** Turns that ended uncertain and no retry has been seen of. */
  #doubts = 0;
  /** Turns that were certainly not captured and no retry has been seen of. */
  #cleanFailures = 0;

  constructor({ jobArn, trajectoryId }: RolloutKey, createdAt: number) {
    this.jobArn = jobArn;
    this.trajectoryId = trajectoryId;
    this.createdAt = createdAt;
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
    else this.failed += 1;
    if (outcome !== "finished") this.#noteFailure(outcome === "failed" ? code : undefined);
    if (usage === undefined) return;
    this.promptTokens += usage.promptTokens;
    this.completionTokens += usage.completionTokens;
  }

  /**
   * Whether a turn that the client calls a retry may repeat a captured one: unless the attempt before it was
   * seen here to fail in a way that captures nothing.
   */
  retryMayDuplicate(): boolean {
    if (this.#doubts > 0) {
      this.#doubts -= 1;
      return true;
    }
    if (this.#cleanFailures === 0) return true;
    this.#cleanFailures -= 1;
    return false;
  }

  get inFlight(): number {
    const { finished, failed, truncated, clientLeft, interrupted } = this;
    return this.started - finished - failed - truncated - clientLeft - interrupted;
  }

  get state(): RolloutState {
    if (this.reward !== undefined && isDone(this.reward)) return "rewarded";
    const { completion } = this;
    if (completion === undefined || !isBinding(completion)) return "open";
    return isDone(completion) ? completion.said.status : "completing";
  }

  /** Takes no more turns: the service has sealed it, or is about to. */
  get isSealed(): boolean {
    return this.state !== "open";
  }

  /** Has something to deliver. */
  get hasPending(): boolean {
    return this.completion?.state === "pending" || this.reward?.state === "pending";
  }

  /** Must stay in memory as the one object it is. */
  get isPinned(): boolean {
    return this.isDirty || this.inFlight > 0 || this.hasPending;
  }

  /** Turns the service has captured or may have. */
  get capturable(): number {
    return this.started - this.failed + this.ambiguousFailures;
  }

  /** `undefined` where the ledger cannot know: no turn came this way, or it may have forgotten some. */
  capturedTurns(): CapturedTurns | undefined {
    if (this.started === 0 || this.countsMayBeShort) return undefined;
    return { finished: this.finished, uncertain: this.capturable - this.finished };
  }

  /** Puts the operation in the place of the one before it. */
  accept(operation: Operation): void {
    const before = isCompleting(operation) ? this.completion : this.reward;
    if (before !== undefined) {
      this.superseded.push(before);
      if (this.superseded.length > maxSuperseded) this.superseded.shift();
    }
    this.#place(operation);
  }

  /** Takes back what could not be stored. */
  withdraw(operation: Operation): void {
    const kind = operation.said.operation;
    const before = this.superseded.findLast(({ said }) => said.operation === kind);
    if (before !== undefined) {
      this.superseded.splice(this.superseded.indexOf(before), 1);
      this.#place(before);
    } else if (kind === "complete_rollout") this.completion = undefined;
    else this.reward = undefined;
  }

  /** What whoever trains on this rollout should know. */
  warnings(): string[] {
    const warnings: string[] = [];
    if (this.countsMayBeShort) {
      warnings.push(
        "Turn counts may be short: turnpike was ended by force, or had forgotten this rollout, while it was open.",
      );
    }
    if (this.isSealed && this.finished === 0) {
      warnings.push(
        "Completed without a single finished turn: the model was never heard in this rollout, and a job can fail over that. Check that the agent's calls go through this turnpike and name this trajectory.",
      );
    }
    if (this.possibleDuplicates > 0) {
      warnings.push(
        `${this.possibleDuplicates} of its turns may repeat one that was captured before: a retry came whose first attempt cannot be accounted for.`,
      );
    }
    for (const operation of [this.completion, this.reward]) {
      if (operation !== undefined) warnings.push(...operationWarnings(operation));
    }
    return warnings;
  }

  #noteFailure(code: GatewayErrorCode | undefined): void {
    const isAmbiguous = code === undefined || ambiguousCodes.has(code);
    if (!isAmbiguous) {
      this.#cleanFailures += 1;
      return;
    }
    this.#doubts += 1;
    if (code !== undefined) this.ambiguousFailures += 1;
  }

  #place(operation: Operation): void {
    if (isCompleting(operation)) this.completion = operation;
    else this.reward = operation as Operation<Rewarding>;
  }
}

function isCompleting(operation: Operation<Statement>): operation is Operation<Completing> {
  return operation.said.operation === "complete_rollout";
}

const originWords = {
  idle_timeout: "no turn had come for rollouts.idle_timeout_s",
  fallback: "no reward had come by rollouts.fallback_after_s",
  shutdown: "turnpike was shut down with shutdown.open_rollouts: fail",
} as const;

/** What turnpike did of its own accord, and what the service said instead of yes. */
function operationWarnings({ said, origin, state, fault }: Operation): string[] {
  const what = said.operation === "complete_rollout" ? "completion" : "reward";
  const warnings: string[] = [];
  if (origin !== "caller") {
    warnings.push(`turnpike itself gave the ${what}, since ${originWords[origin]}.`);
  }
  if (state === "already_done") {
    warnings.push(
      `The ${what} is counted as done: the service says that the trajectory has moved on already (${fault?.message ?? "without a word"}).`,
    );
  } else if (state === "refused") {
    warnings.push(`The ${what} was refused: ${fault?.message ?? "no reason given"}`);
  } else if (state === "expired") {
    warnings.push(
      `The ${what} could not be delivered by its deadline: ${fault?.message ?? "it was not tried"}`,
    );
  } else if (state === "pending" && fault !== undefined) {
    warnings.push(`The ${what} is still to be delivered; the last attempt: ${fault.message}`);
  }
  return warnings;
}
