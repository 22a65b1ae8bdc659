/** Rollouts and operations as rows of the store, and back. */
import type { SQLInputValue, SQLOutputValue } from "node:sqlite";
import type { Operation, OperationFault, Statement } from "./operation.ts";
import { Rollout } from "./rollout.ts";
import type { SavedNotes } from "./rollout-notes.ts";

export type Row = Record<string, SQLOutputValue>;
type Values = Record<string, SQLInputValue>;

/** The row of a rollout; `pending` is whether it has something to deliver. */
export function rolloutRow(rollout: Rollout): Values {
  const notes = rollout.notes.saved();
  return {
    trajectory_id: rollout.trajectoryId,
    job_arn: rollout.jobArn,
    registered: Number(rollout.registered),
    sealed: Number(rollout.isSealed),
    rewarded: Number(rollout.reward !== undefined),
    pending: Number(rollout.hasPending),
    created_at: rollout.createdAt,
    last_seen_at: rollout.lastActivityAt ?? rollout.createdAt,
    first_activity_at: rollout.firstActivityAt ?? null,
    last_activity_at: rollout.lastActivityAt ?? null,
    started: rollout.started,
    finished: rollout.finished,
    failed: rollout.failed,
    truncated: rollout.truncated,
    client_left: rollout.clientLeft,
    interrupted: rollout.interrupted,
    ambiguous_failures: rollout.ambiguousFailures,
    possible_duplicates: rollout.possibleDuplicates,
    prompt_tokens: rollout.promptTokens,
    completion_tokens: rollout.completionTokens,
    counts_may_be_short: Number(rollout.countsMayBeShort),
    notes: notes === undefined ? null : JSON.stringify(notes),
  };
}

/** Without its operations. */
export function rolloutOf(row: Row): Rollout {
  const rollout = new Rollout(
    { jobArn: text(row, "job_arn"), trajectoryId: text(row, "trajectory_id") },
    number(row, "created_at"),
  );
  rollout.registered = number(row, "registered") === 1;
  rollout.started = number(row, "started");
  rollout.finished = number(row, "finished");
  rollout.failed = number(row, "failed");
  rollout.truncated = number(row, "truncated");
  rollout.clientLeft = number(row, "client_left");
  rollout.interrupted = number(row, "interrupted");
  rollout.ambiguousFailures = number(row, "ambiguous_failures");
  rollout.possibleDuplicates = number(row, "possible_duplicates");
  rollout.promptTokens = number(row, "prompt_tokens");
  rollout.completionTokens = number(row, "completion_tokens");
  rollout.firstActivityAt = optionalNumber(row, "first_activity_at");
  rollout.lastActivityAt = optionalNumber(row, "last_activity_at");
  rollout.countsMayBeShort = number(row, "counts_may_be_short") === 1;
  const notes = row["notes"];
  if (typeof notes === "string") rollout.notes.restore(JSON.parse(notes) as SavedNotes);
  return rollout;
}

export function operationRow(operation: Operation): Values {
  return {
    id: operation.id,
    trajectory_id: operation.trajectoryId,
    job_arn: operation.jobArn,
    said: JSON.stringify(operation.said),
    client_token: operation.clientToken,
    origin: operation.origin,
    accepted_at: operation.acceptedAt,
    deadline_at: operation.deadlineAt,
    state: operation.state,
    attempts: operation.attempts,
    may_have_arrived: Number(operation.mayHaveArrived),
    settled_at: operation.settledAt ?? null,
    request_id: operation.requestId ?? null,
    fault: operation.fault === undefined ? null : JSON.stringify(operation.fault),
  };
}

export function operationOf(row: Row): Operation {
  const fault = row["fault"];
  return {
    id: number(row, "id"),
    jobArn: text(row, "job_arn"),
    trajectoryId: text(row, "trajectory_id"),
    said: JSON.parse(text(row, "said")) as Statement,
    clientToken: text(row, "client_token"),
    origin: text(row, "origin") as Operation["origin"],
    acceptedAt: number(row, "accepted_at"),
    deadlineAt: number(row, "deadline_at"),
    isStored: true,
    state: text(row, "state") as Operation["state"],
    attempts: number(row, "attempts"),
    mayHaveArrived: number(row, "may_have_arrived") === 1,
    settledAt: optionalNumber(row, "settled_at"),
    requestId: typeof row["request_id"] === "string" ? row["request_id"] : undefined,
    fault: typeof fault === "string" ? (JSON.parse(fault) as OperationFault) : undefined,
    failure: undefined,
  };
}

function text(row: Row, column: string): string {
  return String(row[column]);
}

function number(row: Row, column: string): number {
  return Number(row[column]);
}

function optionalNumber(row: Row, column: string): number | undefined {
  const value = row[column];
  return value === null || value === undefined ? undefined : Number(value);
}
