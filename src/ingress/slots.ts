/** So many rollouts run at once, so many wait for one of them to end. */
export class Slots {
  readonly #maxRunning: number;
  readonly #maxQueued: number;
  readonly #waiting = new Set<(isGranted: boolean) => void>();
  #running = 0;

  constructor(maxRunning: number, maxQueued: number) {
    this.#maxRunning = maxRunning;
    this.#maxQueued = maxQueued;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#waiting.size;
  }

  get isFull(): boolean {
    return this.#running >= this.#maxRunning && this.#waiting.size >= this.#maxQueued;
  }

  /** True when a slot is the caller's, who gives it back by `leave`; false when `signal` came first, or `drop`. */
  enter(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (this.#running < this.#maxRunning) {
      this.#running += 1;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const settle = (isGranted: boolean): void => {
        this.#waiting.delete(settle);
        signal.removeEventListener("abort", giveUp);
        resolve(isGranted);
      };
      const giveUp = (): void => settle(false);
      signal.addEventListener("abort", giveUp, { once: true });
      this.#waiting.add(settle);
    });
  }

  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#running -= 1;
    else next(true);
  }

  /** Those that wait are sent away. */
  drop(): void {
    for (const settle of [...this.#waiting]) settle(false);
  }
}
