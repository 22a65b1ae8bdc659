/**
 * `POST /rollouts/{id}/complete` and `/reward`: read → check → accept → wait → answer. Accepted means stored: from
 * then on the delivery goes on, whether the caller waits, leaves or asked not to wait (`Prefer: respond-async`).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { GatewayError } from "../errors.ts";
import type { Identify } from "../identity/identify.ts";
import { rolloutPathSegment } from "../identity/path.ts";
import type { RolloutStatus } from "../job-runtime/lifecycle.ts";
import type { Ledger, RolloutKey } from "../rollouts/ledger.ts";
import type { Accepted, Delivered, RolloutLifecycle, Submission } from "../rollouts/lifecycle.ts";
import { parseReward, shapeRewards } from "../rollouts/reward.ts";
import { viewRollout } from "../rollouts/rollout-view.ts";
import { type Patience, patienceOf } from "./patience.ts";
import { allowOnly, type JsonObject, readJsonObject } from "./read-json.ts";

export interface Conclusion {
  readonly ledger: Ledger;
  readonly lifecycle: Pick<RolloutLifecycle, "submit" | "outcome">;
  readonly identify: Identify;
  /** delivery.wait_s, in milliseconds. */
  readonly waitMs: number;
}

export async function completeRollout(c: Context, parts: Conclusion): Promise<Response> {
  const key = identifyPath(c, parts.identify);
  const body = await readJsonObject(incomingOf(c));
  allowOnly(body, ["status", "reward", "rewards", "shape"]);
  const status = readStatus(body["status"]);
  // Before anything is accepted: a completion cannot be taken back when its reward turns out to be invalid.
  const reward = hasReward(body) ? resolveReward(body, parts.ledger, key) : undefined;
  return await conclude(c, parts, { key, submission: { status, reward } });
}

export async function rewardRollout(c: Context, parts: Conclusion): Promise<Response> {
  const key = identifyPath(c, parts.identify);
  const body = await readJsonObject(incomingOf(c));
  allowOnly(body, ["reward", "rewards", "shape"]);
  const reward = resolveReward(body, parts.ledger, key);
  return await conclude(c, parts, { key, submission: { reward } });
}

/** turnpike serves HTTP/1.1 only; the adapter's types allow for HTTP/2. */
function incomingOf(c: Context): IncomingMessage {
  return (c.env as HttpBindings).incoming as IncomingMessage;
}

function identifyPath(c: Context, identify: Identify): RolloutKey {
  const { headers, rawHeaders, url } = incomingOf(c);
  return identify({ pathTrajectoryId: rolloutPathSegment(url ?? ""), headers, rawHeaders });
}

/** `shape` alone is a reward that was forgotten. */
function hasReward(body: JsonObject): boolean {
  return ["reward", "rewards", "shape"].some((name) => body[name] !== undefined);
}

function readStatus(status: unknown): RolloutStatus {
  if (status === undefined) return "ready";
  if (status === "ready" || status === "failed") return status;
  throw new GatewayError("invalid_request", '`status` must be "ready" (the default) or "failed".', {
    param: "status",
  });
}

/** The same words again mean the numbers that were accepted then, whatever is known of the turns by now. */
function resolveReward(body: JsonObject, ledger: Ledger, key: RolloutKey): Submission["reward"] {
  const statement = parseReward(body);
  const asked = JSON.stringify(statement);
  const rollout = ledger.get(key);
  const before = rollout?.reward?.said;
  if (before?.asked === asked) return before;
  return { rewards: shapeRewards(statement, rollout?.capturedTurns()), asked };
}

interface Request {
  readonly key: RolloutKey;
  readonly submission: Submission;
}

async function conclude(
  c: Context,
  { lifecycle, ledger, waitMs }: Conclusion,
  { key, submission }: Request,
): Promise<Response> {
  const patience = patienceOf(incomingOf(c).headers, waitMs);
  const accepted = await lifecycle.submit(key, submission);
  c.header("x-turnpike-trajectory-id", key.trajectoryId);
  if (patience.isAsync) {
    c.header("preference-applied", "respond-async");
    return answerPending(c, accepted);
  }
  const delivered = await waitFor(c, lifecycle.outcome(accepted), patience).catch(
    (error: unknown) => {
      // Not answered with the shutdown's error where the next process will deliver it.
      const isLeft = accepted.operations.some(({ state }) => state === "pending");
      if (isLeft && ledger.store.isPersistent) return undefined;
      throw error;
    },
  );
  return delivered === undefined ? answerPending(c, accepted) : answer(c, delivered);
}

/** `undefined` when the caller's patience ends first, or the caller has gone. */
async function waitFor(
  c: Context,
  outcome: Promise<Delivered>,
  { waitMs }: Patience,
): Promise<Delivered | undefined> {
  const outgoing = (c.env as HttpBindings).outgoing as ServerResponse;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, waitMs, undefined);
  const leave = (): void => resolve(undefined);
  outgoing.once("close", leave);
  try {
    return await Promise.race([outcome, promise]);
  } finally {
    clearTimeout(timer);
    outgoing.off("close", leave);
    // Its failure is the log's and the ledger's when nobody waits for it.
    outcome.catch(() => undefined);
  }
}

/** Stored and under way: where to look for what becomes of it. */
function answerPending(c: Context, { rollout }: Accepted): Response {
  c.header("location", `/rollouts/${encodeURIComponent(rollout.trajectoryId)}`);
  return c.json(viewRollout(rollout), 202);
}

/** The rollout as it is now. */
function answer(c: Context, { rollout, requestId }: Delivered): Response {
  if (requestId !== undefined) c.header("x-request-id", requestId);
  return c.json(viewRollout(rollout));
}
