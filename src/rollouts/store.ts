/**
 * The ledger's and the delivery's memory: SQLite in `state.dir` (WAL, one process per folder), or the same in
 * memory where none is set. Synchronous, so it is called behind the corridor and in batches.
 */
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { GatewayError } from "../errors.ts";
import type { Operation } from "./operation.ts";
import type { Rollout } from "./rollout.ts";
import type { RolloutKey } from "./rollout-key.ts";
import { lockState } from "./state-lock.ts";
import { operationOf, operationRow, type Row, rolloutOf, rolloutRow } from "./store-rows.ts";
import { migrate } from "./store-schema.ts";

export interface Batch {
  readonly rollouts: Iterable<Rollout>;
  readonly operations: Iterable<Operation>;
}

/**
 * `full`: on the disk before the call returns, through a power failure. `normal`: with the operating system,
 * which the process's own death does not undo. https://www.sqlite.org/pragma.html#pragma_synchronous
 */
export type Durability = "full" | "normal";

const rolloutColumns = [
  "trajectory_id",
  "job_arn",
  "registered",
  "sealed",
  "rewarded",
  "pending",
  "created_at",
  "last_seen_at",
  "first_activity_at",
  "last_activity_at",
  "started",
  "finished",
  "failed",
  "truncated",
  "client_left",
  "interrupted",
  "ambiguous_failures",
  "possible_duplicates",
  "prompt_tokens",
  "completion_tokens",
  "counts_may_be_short",
  "notes",
];
const operationColumns = [
  "id",
  "trajectory_id",
  "job_arn",
  "said",
  "client_token",
  "origin",
  "accepted_at",
  "deadline_at",
  "state",
  "attempts",
  "may_have_arrived",
  "settled_at",
  "request_id",
  "fault",
];

export class Store {
  /** Whether it outlives the process. */
  readonly isPersistent: boolean;
  /** The process before this one did not end in an orderly way: what it had not written is lost. */
  readonly followsUncleanEnd: boolean;
  readonly #database: DatabaseSync;
  readonly #unlock: () => void;
  readonly #saveRollout: StatementSync;
  readonly #saveOperation: StatementSync;
  readonly #findRollout: StatementSync;
  readonly #findOperations: StatementSync;
  #durability: Durability | undefined;

  /** `null`: in memory. Throws `state_unavailable` with what is wrong and what to do. */
  static open(dir: string | null): Store {
    if (dir === null) return new Store(":memory:", () => undefined);
    const folder = resolve(dir);
    let unlock: (() => void) | undefined;
    try {
      mkdirSync(folder, { recursive: true });
      unlock = lockState(folder);
      return new Store(join(folder, "turnpike.db"), unlock);
    } catch (cause) {
      unlock?.();
      throw cause instanceof GatewayError ? cause : unusable(folder, cause);
    }
  }

  private constructor(path: string, unlock: () => void) {
    this.isPersistent = path !== ":memory:";
    this.#database = new DatabaseSync(path, { timeout: 100 });
    this.#unlock = unlock;
    try {
      this.#database.exec("PRAGMA journal_mode = WAL");
      migrate(this.#database);
      this.followsUncleanEnd = this.#meta("running") === 1;
      if (this.followsUncleanEnd) this.#distrustOpenCounts();
      this.#setMeta("running", 1);
      this.#saveRollout = this.#upsert("rollouts", rolloutColumns, 2);
      this.#saveOperation = this.#upsert("operations", operationColumns, 1);
      this.#findRollout = this.#database.prepare(
        "SELECT * FROM rollouts WHERE trajectory_id = ? AND job_arn = ?",
      );
      this.#findOperations = this.#database.prepare(
        "SELECT * FROM operations WHERE trajectory_id = ? AND job_arn = ? ORDER BY id",
      );
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** All of it or nothing. Throws `state_unavailable`. */
  write({ rollouts, operations }: Batch, durability: Durability): void {
    try {
      this.#useDurability(durability);
      this.#database.exec("BEGIN IMMEDIATE");
      for (const rollout of rollouts) this.#saveRollout.run(rolloutRow(rollout));
      for (const operation of operations) this.#saveOperation.run(operationRow(operation));
      this.#database.exec("COMMIT");
    } catch (cause) {
      this.#rollBack();
      throw notWritten(cause);
    }
  }

  find({ trajectoryId, jobArn }: RolloutKey): Rollout | undefined {
    const row = this.#findRollout.get(trajectoryId, jobArn);
    return row === undefined ? undefined : this.#withOperations(row);
  }

  /** Of every job. */
  findNamed(trajectoryId: string): Rollout[] {
    return this.#rollouts("SELECT * FROM rollouts WHERE trajectory_id = ?", trajectoryId);
  }

  /** Those seen last, the latest first. */
  latest(limit: number): Rollout[] {
    return this.#rollouts("SELECT * FROM rollouts ORDER BY last_seen_at DESC LIMIT ?", limit);
  }

  /** Those with a completion or reward still to be delivered, the earliest accepted first. */
  withPending(): Rollout[] {
    return this.#rollouts("SELECT * FROM rollouts WHERE pending = 1");
  }

  /** Every rollout that was registered. */
  registered(): Rollout[] {
    return this.#rollouts("SELECT * FROM rollouts WHERE registered = 1");
  }

  keys(): RolloutKey[] {
    return this.#keys("TRUE");
  }

  /** Open ones without a sign of life since then. */
  openSince(lastSeenBefore: number): RolloutKey[] {
    return this.#keys("sealed = 0 AND last_seen_at <= ?", lastSeenBefore);
  }

  /** Open ones with a sign of life since then. */
  openSeenAfter(time: number): RolloutKey[] {
    return this.#keys("sealed = 0 AND last_seen_at >= ?", time);
  }

  /** Those that began before then and have no reward. */
  unrewardedSince(firstActivityBefore: number): RolloutKey[] {
    return this.#keys("rewarded = 0 AND first_activity_at <= ?", firstActivityBefore);
  }

  get count(): number {
    return this.#number("SELECT count(*) AS value FROM rollouts");
  }

  get lastOperationId(): number {
    return this.#number("SELECT coalesce(max(id), 0) AS value FROM operations");
  }

  /**
   * Forgets the rollouts seen longest ago beyond `keep`, sealed ones first, never one with something to deliver.
   * The answer says which, and whether one of them might yet have gone on.
   */
  prune(keep: number): readonly (RolloutKey & { readonly wasOpen: boolean })[] {
    const excess = this.count - keep;
    if (excess <= 0) return [];
    const rows = this.#database
      .prepare(
        "SELECT trajectory_id, job_arn, sealed FROM rollouts WHERE pending = 0 ORDER BY sealed DESC, last_seen_at LIMIT ?",
      )
      .all(excess);
    const forgotten = rows.map((row) => ({ ...keyOf(row), wasOpen: row["sealed"] === 0 }));
    this.#forget(forgotten);
    return forgotten;
  }

  /** An open rollout was forgotten at some time: a new account may be the second of the same rollout. */
  get hasForgottenOpen(): boolean {
    return this.#meta("forgotten_open") === 1;
  }

  /** The orderly end. */
  close(): void {
    try {
      this.#setMeta("running", 0);
    } finally {
      this.#database.close();
      this.#unlock();
    }
  }

  #forget(forgotten: readonly (RolloutKey & { readonly wasOpen: boolean })[]): void {
    try {
      this.#useDurability("normal");
      this.#database.exec("BEGIN IMMEDIATE");
      for (const table of ["operations", "rollouts"]) {
        const remove = this.#database.prepare(
          `DELETE FROM ${table} WHERE trajectory_id = ? AND job_arn = ?`,
        );
        for (const { trajectoryId, jobArn } of forgotten) remove.run(trajectoryId, jobArn);
      }
      if (forgotten.some(({ wasOpen }) => wasOpen)) this.#setMeta("forgotten_open", 1);
      this.#database.exec("COMMIT");
    } catch (cause) {
      this.#rollBack();
      throw notWritten(cause);
    }
  }

  /** Turns of the last second were not written, and those under way then did not end. */
  #distrustOpenCounts(): void {
    this.#database.exec(`
      UPDATE rollouts SET counts_may_be_short = 1 WHERE sealed = 0;
      UPDATE rollouts SET interrupted = started - finished - failed - truncated - client_left
        WHERE interrupted <> started - finished - failed - truncated - client_left;
    `);
  }

  #upsert(table: string, columns: readonly string[], keys: number): StatementSync {
    const updates = columns.slice(keys).map((column) => `${column} = excluded.${column}`);
    return this.#database.prepare(
      `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map((column) => `:${column}`).join(", ")})
       ON CONFLICT (${columns.slice(0, keys).join(", ")}) DO UPDATE SET ${updates.join(", ")}`,
    );
  }

  #rollouts(sql: string, ...values: SQLInputValue[]): Rollout[] {
    const rows = this.#database.prepare(sql).all(...values);
    return rows.map((row) => this.#withOperations(row));
  }

  #withOperations(row: Row): Rollout {
    const rollout = rolloutOf(row);
    const rows = this.#findOperations.all(rollout.trajectoryId, rollout.jobArn);
    for (const each of rows) rollout.accept(operationOf(each));
    return rollout;
  }

  #keys(where: string, ...values: SQLInputValue[]): RolloutKey[] {
    return this.#database
      .prepare(`SELECT trajectory_id, job_arn FROM rollouts WHERE ${where}`)
      .all(...values)
      .map(keyOf);
  }

  #number(sql: string): number {
    return Number(this.#database.prepare(sql).get()?.["value"]);
  }

  #meta(name: string): number {
    const row = this.#database.prepare("SELECT value FROM meta WHERE name = ?").get(name);
    return Number(row?.["value"] ?? 0);
  }

  #setMeta(name: string, value: number): void {
    this.#database.prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)").run(name, value);
  }

  #useDurability(durability: Durability): void {
    if (this.#durability === durability) return;
    this.#database.exec(`PRAGMA synchronous = ${durability}`);
    this.#durability = durability;
  }

  #rollBack(): void {
    // SQLite has rolled back by itself where the disk was full.
    if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec("ROLLBACK");
  }
}

function keyOf(row: Row): RolloutKey {
  return { trajectoryId: String(row["trajectory_id"]), jobArn: String(row["job_arn"]) };
}

function unusable(folder: string, cause: unknown): GatewayError {
  return new GatewayError(
    "state_unavailable",
    `The state folder ${folder} cannot be used: ${reasonOf(cause)}. Give turnpike's user a folder it can write to, with free space, by state.dir (TURNPIKE_STATE_DIR).`,
    { cause },
  );
}

function notWritten(cause: unknown): GatewayError {
  return new GatewayError(
    "state_unavailable",
    `turnpike cannot write its state (${reasonOf(cause)}), so it accepts no completion or reward: it could not keep its word about them. Turns go on. Send this again once state.dir can be written.`,
    { cause, retryAfterMs: 5_000 },
  );
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
