/**
 * When a call is sent again (design.md, "One logical turn"): only what cannot have been captured, or what
 * the service itself says to repeat; with full jitter; within a budget per call, one per process, and
 * the client's own patience.
 */
import { ambiguousCodes, type GatewayError, type GatewayErrorCode } from "../errors.ts";

export interface RetrySettings {
  /** Calls per turn, the first included; 1 never sends again. */
  readonly maxAttempts: number;
  /** The first delay is somewhere between 0 and this, the next between 0 and twice this, …; milliseconds. */
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  /** Resends the process may make per first call: with 0.2, an outage makes at most a fifth more calls. */
  readonly budgetRatio: number;
  /** What to do when nobody can tell whether the turn was captured. */
  readonly ambiguous: "error" | "resend";
}

export interface RetryPolicyOptions extends RetrySettings {
  /** 0 ≤ x < 1. */
  readonly random?: () => number;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** How far the turn has come. */
export interface RetryQuestion {
  readonly error: GatewayError;
  /** Calls made so far. */
  readonly attempts: number;
  /** Since the turn began. */
  readonly elapsedMs: number;
  /** How long the client waits in all. */
  readonly patienceMs: number;
}

/** Cannot have been captured: never connected, throttled, 503; or modelled as retryable by the service. */
const safeCodes: ReadonlySet<GatewayErrorCode> = new Set<GatewayErrorCode>([
  "upstream_unreachable",
  "connect_timeout",
  "service_throttled",
  "service_unavailable",
  "service_internal",
]);

/** Resends there are at the start, and at most in hand; a second of quiet brings back one. */
const budgetReserve = 20;
const maxBudget = 200;

export class RetryPolicy {
  readonly #options: RetryPolicyOptions;
  readonly #random: () => number;
  readonly #now: () => number;
  #budget = budgetReserve;
  #refilledAt: number;

  constructor(options: RetryPolicyOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#now = options.now ?? (() => performance.now());
    this.#refilledAt = this.#now();
  }

  /** To be told of every turn's first call: it earns the budget its share. */
  firstCall(): void {
    this.#budget = Math.min(maxBudget, this.#budget + this.#options.budgetRatio);
  }

  /** Milliseconds to wait before sending again; `undefined` when the error is the answer. Takes from the budget. */
  delayBeforeResend({ error, attempts, elapsedMs, patienceMs }: RetryQuestion): number | undefined {
    const { maxAttempts, baseDelayMs, maxDelayMs } = this.#options;
    if (attempts >= maxAttempts || !this.#mayResend(error)) return undefined;
    const ceilingMs = Math.min(maxDelayMs, baseDelayMs * 2 ** (attempts - 1));
    const delayMs = (error.retryAfterMs ?? 0) + this.#random() * ceilingMs;
    // The answer needs time as well: half of the client's patience is kept for it.
    if (elapsedMs + delayMs > patienceMs / 2) return undefined;
    return this.#withdraw() ? delayMs : undefined;
  }

  #mayResend(error: GatewayError): boolean {
    if (isSafeToResend(error)) return true;
    return this.#options.ambiguous === "resend" && isAmbiguous(error);
  }

  #withdraw(): boolean {
    const now = this.#now();
    const refill = (now - this.#refilledAt) / 1000;
    if (this.#budget < budgetReserve) {
      this.#budget = Math.min(budgetReserve, this.#budget + refill);
    }
    this.#refilledAt = now;
    if (this.#budget < 1) return false;
    this.#budget -= 1;
    return true;
  }
}

/** An exception inside a stream has no such promise: by then the turn had begun. */
export function isSafeToResend(error: GatewayError): boolean {
  return safeCodes.has(error.code) && error.shouldRetry !== false;
}

/** True where the service may have captured the turn although the call failed. */
export function isAmbiguous(error: GatewayError): boolean {
  return ambiguousCodes.has(error.code) || (safeCodes.has(error.code) && !isSafeToResend(error));
}
