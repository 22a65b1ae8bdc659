/**
 * The time limits of one call. One timer for all of them: bytes only note the time, and when the timer
 * fires it looks at which limit is really over and sleeps on for the rest.
 */
import { GatewayError } from "../errors.ts";

/** All in milliseconds. */
export interface SampleTimeouts {
  /** From the start to the first byte of the answer's body. */
  readonly firstByteMs: number;
  /** Between two bytes. */
  readonly idleMs: number;
  /** For the whole call. */
  readonly totalMs: number;
}

export interface CallDeadlineOptions {
  readonly timeouts: SampleTimeouts;
  /** A paused upstream is silent because the client is slow, which is no failure of the service. */
  readonly isPaused: () => boolean;
  readonly onOver: (error: GatewayError) => void;
}

/** Timers may fire a fraction of a millisecond early. */
const toleranceMs = 1;

export class CallDeadline {
  readonly #options: CallDeadlineOptions;
  #timer: NodeJS.Timeout | undefined;
  #startedAt = 0;
  #attemptAt = 0;
  #lastByteAt = 0;

  constructor(options: CallDeadlineOptions) {
    this.#options = options;
  }

  start(): void {
    this.#startedAt = performance.now();
    this.#attemptAt = this.#startedAt;
    const { firstByteMs, idleMs, totalMs } = this.#options.timeouts;
    // The shortest of them: waking up early once is cheaper than a second timer per turn.
    this.#arm(Math.min(firstByteMs, idleMs, totalMs));
  }

  /** To be told of every byte, and of the end of every pause. */
  noteByte(): void {
    this.#lastByteAt = performance.now();
  }

  /** The call is made again: the time to the first byte counts anew, the whole goes on. */
  nextAttempt(): void {
    this.#attemptAt = performance.now();
    const { firstByteMs, totalMs } = this.#options.timeouts;
    clearTimeout(this.#timer);
    this.#arm(Math.min(firstByteMs, Math.max(1, this.#startedAt + totalMs - this.#attemptAt)));
  }

  isTotalOver(): boolean {
    return performance.now() >= this.#startedAt + this.#options.timeouts.totalMs - toleranceMs;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #arm(delayMs: number): void {
    this.#timer = setTimeout(() => this.#check(), delayMs);
  }

  #check(): void {
    const { firstByteMs, idleMs, totalMs } = this.#options.timeouts;
    const now = performance.now();
    const totalLeft = this.#startedAt + totalMs - now;
    const left = Math.min(totalLeft, this.#phaseLeft(now));
    if (left > toleranceMs) {
      this.#arm(left);
      return;
    }
    const limit =
      totalLeft <= toleranceMs
        ? `the whole turn took longer than ${totalMs} ms (timeouts.total_ms)`
        : this.#lastByteAt === 0
          ? `no byte of the answer came within ${firstByteMs} ms (timeouts.first_byte_ms)`
          : `nothing more came for ${idleMs} ms (timeouts.idle_ms)`;
    this.#options.onOver(
      new GatewayError(
        "upstream_timeout",
        `The service did not answer in time: ${limit}. The turn may have been captured; it was not sent again.`,
      ),
    );
  }

  #phaseLeft(now: number): number {
    const { firstByteMs, idleMs } = this.#options.timeouts;
    if (this.#lastByteAt === 0) return this.#attemptAt + firstByteMs - now;
    return (this.#options.isPaused() ? now : this.#lastByteAt) + idleMs - now;
  }
}
