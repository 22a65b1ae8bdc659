/**
 * Between ledger and store: what the corridor has counted is written in batches behind it; what was promised is
 * on the disk before the promise is answered, many promises in one commit.
 */
import { toGatewayError } from "../errors.ts";
import type { Operation } from "./operation.ts";
import type { Rollout } from "./rollout.ts";
import type { Schedule } from "./schedule.ts";
import type { Store } from "./store.ts";

export interface WriteBehindParts {
  readonly store: Store;
  readonly schedule: Schedule;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told when counts could not be written, and when they could again. They are kept and tried again. */
  readonly onState: (isWritable: boolean, error?: Error) => void;
  /** Called after every batch of counts. */
  readonly onFlushed: () => void;
}

/** Counts are written this long after they changed, in milliseconds. */
const flushAfterMs = 1_000;
/** A rollout never heard of before is written sooner: after a kill, nothing else would say that it was there. */
const flushNewAfterMs = 50;
/** At most one commit of promises in this time: an fsync holds up the turns in flight. In milliseconds. */
const commitGapMs = 20;

interface Promised {
  readonly rollout: Rollout;
  readonly operations: readonly Operation[];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class WriteBehind {
  readonly #parts: WriteBehindParts;
  #dirty: Rollout[] = [];
  readonly #settled = new Set<Operation>();
  #promised: Promised[] = [];
  #cancelFlush: (() => void) | undefined;
  #flushAt = Number.POSITIVE_INFINITY;
  #cancelCommit: (() => void) | undefined;
  #committedAt = Number.NEGATIVE_INFINITY;
  #isWritable = true;
  #isClosed = false;

  constructor(parts: WriteBehindParts) {
    this.#parts = parts;
  }

  /** On the corridor: a flag, an entry in a list and at times a timer. */
  changed(rollout: Rollout): void {
    if (rollout.isDirty) return;
    rollout.isDirty = true;
    this.#dirty.push(rollout);
    this.#flushWithin(rollout.started <= 1 ? flushNewAfterMs : flushAfterMs);
  }

  /** An operation's outcome: lost in a crash, the operation is repeated with the same token, which changes nothing. */
  settled(operation: Operation): void {
    this.#settled.add(operation);
    this.#flushWithin(flushAfterMs);
  }

  /** Resolves when it is on the disk; rejects with `state_unavailable`, and then nothing of it is. */
  commit(rollout: Rollout, operations: readonly Operation[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#promised.push({ rollout, operations, resolve, reject });
      const { schedule, now } = this.#parts;
      const wait = Math.max(0, this.#committedAt + commitGapMs - now());
      this.#cancelCommit ??= schedule(Math.min(wait, commitGapMs), () => this.#commitAll());
    });
  }

  /** At once, with the operating system: for what must survive the process's death and is rare. */
  writeNow(rollout: Rollout): void {
    try {
      this.#parts.store.write({ rollouts: [rollout], operations: [] }, "normal");
    } catch (error) {
      this.#say(false, error);
    }
  }

  /** Writes what there is. What cannot be written stays, for the next time. */
  flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    this.#flushAt = Number.POSITIVE_INFINITY;
    const rollouts = this.#dirty;
    const operations = [...this.#settled];
    if (rollouts.length === 0 && operations.length === 0) return;
    try {
      this.#parts.store.write({ rollouts, operations }, "normal");
    } catch (error) {
      this.#say(false, error);
      this.#flushWithin(flushAfterMs);
      return;
    }
    this.#dirty = [];
    for (const rollout of rollouts) rollout.isDirty = false;
    for (const operation of operations) this.#settled.delete(operation);
    this.#tidyUp();
  }

  /** Writes everything and stops. */
  close(): void {
    this.#commitAll();
    this.flush();
    this.#isClosed = true;
    this.#cancelFlush?.();
  }

  /** A timer runs this: what cannot be tidied now is tidied after the next batch. */
  #tidyUp(): void {
    try {
      this.#parts.onFlushed();
      this.#say(true);
    } catch (error) {
      this.#say(false, error);
    }
  }

  #commitAll(): void {
    this.#cancelCommit?.();
    this.#cancelCommit = undefined;
    const promised = this.#promised;
    if (promised.length === 0) return;
    this.#promised = [];
    try {
      this.#parts.store.write(
        {
          rollouts: new Set(promised.map(({ rollout }) => rollout)),
          operations: promised.flatMap(({ operations }) => operations),
        },
        "full",
      );
    } catch (error) {
      this.#say(false, error);
      const failure = toGatewayError(error);
      for (const { reject } of promised) reject(failure);
      return;
    } finally {
      this.#committedAt = this.#parts.now();
    }
    this.#say(true);
    for (const { resolve } of promised) resolve();
  }

  #flushWithin(delayMs: number): void {
    const { schedule, now } = this.#parts;
    const at = now() + delayMs;
    if (this.#flushAt <= at || this.#isClosed) return;
    this.#cancelFlush?.();
    this.#flushAt = at;
    this.#cancelFlush = schedule(delayMs, () => this.flush());
  }

  #say(isWritable: boolean, error?: unknown): void {
    if (isWritable === this.#isWritable) return;
    this.#isWritable = isWritable;
    this.#parts.onState(isWritable, error instanceof Error ? error : undefined);
  }
}
