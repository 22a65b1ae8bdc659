/**
 * Log lines on their way to standard output, in batches. Not pino's own destination, for three reasons seen
 * here: its batching weighs everything collected again for each line (a quarter of the corridor's time, with
 * a line per turn); its last flush retries for ever when the reader is gone; and a full disk behind it is an
 * error event that ends the process. A gateway must outlive its log.
 */
import { write as writeFile, writeSync } from "node:fs";
import type { DestinationStream } from "pino";

const standardOutput = 1;
/** Text that is written at once, in UTF-16 units, and how long a lone line waits for company. */
const batchLength = 64 * 1024;
const flushEveryMs = 250;
/** A reader that has stopped reading may cost this much memory; beyond it lines are dropped, and counted. */
const maxPendingLength = 8 * 1024 * 1024;
const busyRetryMs = 50;
/** At exit a busy reader gets this many more chances. */
const exitRetries = 20;

export interface LineBatchOptions {
  /** File descriptor; default standard output. */
  readonly descriptor?: number;
}

/** Asynchronous; what is left is written when the process ends. SIGKILL can lose the last quarter of a second. */
export class LineBatch implements DestinationStream {
  readonly #descriptor: number;
  /** Lines not yet handed to the system. */
  #pending = "";
  /** The part of a batch that is being written. */
  #writing: Buffer | undefined;
  #dropped = 0;
  #readerGone = false;
  readonly #timer: NodeJS.Timeout;
  readonly #onExit = (): void => this.#flushSync();

  constructor({ descriptor = standardOutput }: LineBatchOptions = {}) {
    this.#descriptor = descriptor;
    this.#timer = setInterval(() => this.#flush(), flushEveryMs).unref();
    process.on("exit", this.#onExit);
  }

  write(line: string): void {
    if (this.#pending.length > maxPendingLength || this.#readerGone) {
      this.#dropped += 1;
      return;
    }
    this.#pending += line;
    if (this.#pending.length >= batchLength) this.#flush();
  }

  /** Writes what there is and takes part in nothing any more. */
  close(): void {
    clearInterval(this.#timer);
    process.off("exit", this.#onExit);
    this.#flushSync();
  }

  #flush(): void {
    if (this.#writing || this.#pending === "") return;
    this.#writing = this.#takePending();
    this.#writeOn();
  }

  #takePending(): Buffer {
    let text = this.#pending;
    this.#pending = "";
    if (this.#dropped > 0) {
      text += `{"level":"warn","event":"lines-dropped","count":${this.#dropped}}\n`;
      this.#dropped = 0;
    }
    return Buffer.from(text);
  }

  #writeOn(): void {
    const batch = this.#writing;
    if (!batch) return;
    writeFile(this.#descriptor, batch, (error, written) => {
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#writeOn(), busyRetryMs).unref();
        return;
      }
      if (error?.code === "EPIPE") this.#readerGone = true;
      const rest = error ? undefined : batch.subarray(written);
      this.#writing = rest && rest.length > 0 ? rest : undefined;
      // A full disk loses this batch; the next one tries again.
      if (error) this.#dropped += 1;
      if (this.#writing) this.#writeOn();
      else if (this.#pending.length >= batchLength) this.#flush();
    });
  }

  #flushSync(): void {
    // A batch that a thread is writing now is finished by that thread, also at exit: a moment for its turn.
    if (this.#writing) sleep(10);
    let rest = this.#takePending();
    for (let tries = 0; rest.length > 0 && tries < exitRetries; ) {
      try {
        rest = rest.subarray(writeSync(this.#descriptor, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
        tries += 1;
        sleep(busyRetryMs);
      }
    }
  }
}

/** For the exit only, when no event comes any more. */
function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
