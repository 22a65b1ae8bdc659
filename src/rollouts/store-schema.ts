/** The tables of the store and how they came to be: each step is run once, in order, on what was there before. */
import type { DatabaseSync } from "node:sqlite";
import { GatewayError } from "../errors.ts";

const steps: readonly string[] = [
  `
  -- One value each: what the process must know of the one before it.
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

  CREATE TABLE rollouts (
    trajectory_id TEXT NOT NULL,
    job_arn TEXT NOT NULL,
    registered INTEGER NOT NULL,
    sealed INTEGER NOT NULL,
    rewarded INTEGER NOT NULL,
    -- Has a completion or reward that is still to be delivered.
    pending INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- The last turn's begin or end, or the registration.
    last_seen_at INTEGER NOT NULL,
    first_activity_at INTEGER,
    last_activity_at INTEGER,
    started INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    truncated INTEGER NOT NULL,
    client_left INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    ambiguous_failures INTEGER NOT NULL,
    possible_duplicates INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    counts_may_be_short INTEGER NOT NULL,
    -- JSON: how it was asked for, what was enforced, how its agent ended.
    notes TEXT,
    PRIMARY KEY (trajectory_id, job_arn)
  ) WITHOUT ROWID;
  CREATE INDEX rollouts_by_age ON rollouts (sealed, last_seen_at);
  CREATE INDEX rollouts_unrewarded ON rollouts (first_activity_at) WHERE rewarded = 0;

  CREATE TABLE operations (
    id INTEGER PRIMARY KEY,
    trajectory_id TEXT NOT NULL,
    job_arn TEXT NOT NULL,
    -- JSON: the statement as it was made.
    said TEXT NOT NULL,
    client_token TEXT NOT NULL,
    origin TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    deadline_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    may_have_arrived INTEGER NOT NULL,
    settled_at INTEGER,
    request_id TEXT,
    -- JSON.
    fault TEXT
  );
  CREATE INDEX operations_of_rollout ON operations (trajectory_id, job_arn, id);
  `,
];

/** Brings the database to this version's schema. Throws `state_unavailable` for one that a later version wrote. */
export function migrate(database: DatabaseSync): void {
  const version = versionOf(database);
  if (version > steps.length) {
    throw new GatewayError(
      "state_unavailable",
      `The state was written by a later turnpike (its schema is ${version}, this one knows ${steps.length}). Run that version, or give this one an empty state.dir.`,
    );
  }
  for (let next = version; next < steps.length; next += 1) {
    database.exec(`BEGIN; ${steps[next]}; PRAGMA user_version = ${next + 1}; COMMIT`);
  }
}

function versionOf(database: DatabaseSync): number {
  const row = database.prepare("PRAGMA user_version").get();
  return Number(row?.["user_version"] ?? 0);
}
