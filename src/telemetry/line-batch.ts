/**
 * Log lines on their way to standard output, in batches. sonic-boom's own batching measures everything it
 * has collected again for each line; with a line per turn that was a quarter of the corridor's time.
 */
import { type DestinationStream, destination } from "pino";

/** Text that is written at once, in UTF-16 units, and how long a lone line waits for company. */
const batchLength = 8 * 1024;
const flushEveryMs = 250;

/**
 * Asynchronous; flushed when the process ends. What SIGKILL can lose is the last quarter of a second.
 */
export function batchedStandardOutput(): DestinationStream {
  const output = destination({ dest: 1, sync: false });
  let batch = "";
  const flush = (): void => {
    if (batch === "") return;
    output.write(batch);
    batch = "";
  };
  setInterval(flush, flushEveryMs).unref();
  process.on("exit", () => {
    flush();
    output.flushSync();
  });
  return {
    write(line: string): void {
      batch += line;
      if (batch.length >= batchLength) flush();
    },
  };
}
