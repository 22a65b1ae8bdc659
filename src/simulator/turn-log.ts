/** `turns.jsonl` in the state folder: one line per turn whose response has ended. */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import type { CapturedTurn } from "./turns.ts";

export interface TurnLog {
  append(turn: CapturedTurn): void;
  /** Resolves when everything is written; rejects when something could not be. */
  close(): Promise<void>;
}

/** Opens the file for appending (rejects when it cannot), or makes a log that writes nowhere when there is no folder. */
export async function createTurnLog(stateDir: string | undefined): Promise<TurnLog> {
  if (stateDir === undefined) return { append: () => undefined, close: () => Promise.resolve() };
  await mkdir(stateDir, { recursive: true });
  const file = createWriteStream(join(stateDir, "turns.jsonl"), { flags: "a" });
  await once(file, "open");
  const done = finished(file);
  // Seen again by close(); a listener here keeps an early failure from ending the process.
  done.catch(() => undefined);
  return {
    append: (turn) => {
      file.write(`${JSON.stringify(turn)}\n`);
    },
    close: async () => {
      file.end();
      await done;
    },
  };
}
