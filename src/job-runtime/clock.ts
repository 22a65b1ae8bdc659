/**
 * The service's clock as far as it is known: the machine's, corrected by the `Date` of an answer that
 * refused a signature for its time. SigV4 allows five minutes of skew.
 */

/** Skew below this is not worth correcting: a signature is valid for minutes, `Date` is in whole seconds. */
const minimumSkewMs = 30_000;

export class ServiceClock {
  readonly #now: () => number;
  #offsetMs = 0;
  #formattedSecond = -1;
  #formatted = "";

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** How far the service's clock is ahead of the machine's, in milliseconds; 0 until a correction. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** The service's time, epoch milliseconds. */
  now(): number {
    return this.#now() + this.#offsetMs;
  }

  /** The time to sign with, as `yyyymmddThhmmssZ`. Kept for the second, since every turn asks. */
  amzDate(): string {
    const second = Math.floor(this.now() / 1000);
    if (second !== this.#formattedSecond) {
      this.#formattedSecond = second;
      this.#formatted = `${new Date(second * 1000).toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
    }
    return this.#formatted;
  }

  /**
   * Takes over the service's `Date` header. True when that changed the time to sign with, which is
   * when signing the same request once more makes sense.
   */
  correct(dateHeader: string | undefined): boolean {
    const serviceMs = dateHeader === undefined ? Number.NaN : Date.parse(dateHeader);
    if (Number.isNaN(serviceMs)) return false;
    const offsetMs = serviceMs - this.#now();
    if (Math.abs(offsetMs - this.#offsetMs) < minimumSkewMs) return false;
    this.#offsetMs = offsetMs;
    this.#formattedSecond = -1;
    return true;
  }
}
