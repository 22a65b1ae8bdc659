/** Time that passes when a test says so. */
import { setImmediate as nextTick } from "node:timers/promises";
import type { Schedule } from "../../src/rollouts/schedule.ts";

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

export class VirtualClock {
  #now: number;
  #timers: Timer[] = [];

  constructor(start = Date.parse("2026-03-01T10:00:00Z")) {
    this.#now = start;
  }

  readonly now = (): number => this.#now;

  readonly schedule: Schedule = (delayMs, run) => {
    const timer = { at: this.#now + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer);
    };
  };

  get timers(): number {
    return this.#timers.length;
  }

  /** Runs what falls due meanwhile, in order, each after what the one before it set off. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await nextTick();
    for (;;) {
      const next = this.#timers
        .filter(({ at }) => at <= until)
        .reduce<Timer | undefined>(
          (first, one) => (first && first.at <= one.at ? first : one),
          undefined,
        );
      if (next === undefined) break;
      this.#timers = this.#timers.filter((each) => each !== next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await nextTick();
    }
    this.#now = until;
  }

  /** Lets time pass until the promise has ended, a day at most. */
  async until<Value>(promise: Promise<Value>): Promise<Value> {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    promise.then(over, over);
    for (let ms = 0; ms < 86_400_000 && !isOver; ms += 1_000) await this.advance(1_000);
    if (!isOver) throw new Error("It has not ended within a day.");
    return await promise;
  }
}
