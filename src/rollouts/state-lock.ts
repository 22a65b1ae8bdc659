/**
 * One process per state folder. The lock is SQLite's own exclusive file lock, held by an open transaction: the
 * operating system takes it back when the process ends, by SIGKILL too, so there is no stale lock to clear away.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { GatewayError } from "../errors.ts";

/** Throws `state_unavailable` when another process holds the folder. The answer lets go of it. */
export function lockState(dir: string): () => void {
  const lock = new DatabaseSync(join(dir, "turnpike.lock"), { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    lock.close();
    if (!isBusy(cause)) throw cause;
    throw new GatewayError(
      "state_unavailable",
      `Another turnpike is using ${dir}. Stop it first, or give this one a folder of its own with state.dir (TURNPIKE_STATE_DIR): two processes on one folder would deliver the same rewards.`,
      { cause },
    );
  }
  return () => lock.close();
}

/** SQLITE_BUSY, https://www.sqlite.org/rescode.html#busy */
const busy = 5;

function isBusy(thrown: unknown): boolean {
  return (thrown as { errcode?: unknown }).errcode === busy;
}
