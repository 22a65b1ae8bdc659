/**
 * The rollout routes (design.md, "Routes"): register, look at, complete, reward. Not on the corridor: bodies are
 * small and parsed. Errors are thrown as GatewayError; the app that mounts these puts them on the wire.
 */
import type { IncomingMessage } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { GatewayError, toGatewayError } from "../errors.ts";
import { createIdentify, type Identify, jobArnHeader } from "../identity/identify.ts";
import { createJobCheck } from "../identity/job-policy.ts";
import { rolloutPathSegment } from "../identity/path.ts";
import { decodeTrajectoryId } from "../identity/trajectory-id.ts";
import type { RolloutStatus } from "../job-runtime/lifecycle.ts";
import type { Ledger, RolloutKey } from "../rollouts/ledger.ts";
import type { Delivered, RolloutLifecycle } from "../rollouts/lifecycle.ts";
import { restated } from "../rollouts/restated.ts";
import { parseReward, type RewardStatement, shapeRewards } from "../rollouts/reward.ts";
import type { Rollout } from "../rollouts/rollout.ts";
import { viewRollout } from "../rollouts/rollout-view.ts";
import { allowOnly, type JsonObject, readJsonObject } from "./read-json.ts";
import { type RegistrationSettings, registerRollout } from "./register-rollout.ts";

export interface RolloutRoutes extends Omit<RegistrationSettings, "checkJob"> {
  readonly lifecycle: Pick<RolloutLifecycle, "completeRollout" | "updateReward">;
  /** identity.allowed_jobs; none means any. */
  readonly allowedJobs: readonly string[];
}

interface Routes {
  readonly ledger: Ledger;
  readonly lifecycle: RolloutRoutes["lifecycle"];
  readonly identify: Identify;
}

export function rolloutRoutes(parts: RolloutRoutes): Hono {
  const { ledger, lifecycle, jobArn, allowedJobs } = parts;
  const checkJob = createJobCheck(allowedJobs, jobArn);
  const identify = createIdentify({
    jobArn,
    allowedJobs,
    bearerIsKey: parts.asksForKey,
    registeredJobArn: (trajectoryId) => ledger.registeredJobArn(trajectoryId),
    // The path names the trajectory of every route here.
    trajectoryId: null,
    madeTrajectoryId: null,
  });
  const routes: Routes = { ledger, lifecycle, identify };
  const app = new Hono();
  app.post("/rollouts", async (c) =>
    c.json(await registerRollout(incomingOf(c), { ...parts, checkJob })),
  );
  app.get("/rollouts", (c) => c.json(listRollouts(ledger, c.req.query("limit"))));
  app.get("/rollouts/:id", (c) => c.json(viewRollout(findRollout(ledger, incomingOf(c)))));
  app.post("/rollouts/:id/complete", (c) => complete(c, routes));
  app.post("/rollouts/:id/reward", (c) => reward(c, routes));
  return app;
}

/** turnpike serves HTTP/1.1 only; the adapter's types allow for HTTP/2. */
function incomingOf(c: Context): IncomingMessage {
  return (c.env as HttpBindings).incoming as IncomingMessage;
}

// Looking

const defaultListed = 100;
const maxListed = 1000;

function listRollouts(ledger: Ledger, limit: string | undefined) {
  const count = limit === undefined ? defaultListed : Number(limit);
  if (!Number.isInteger(count) || count < 1 || count > maxListed) {
    throw new GatewayError(
      "invalid_request",
      `\`limit\` must be a whole number from 1 to ${maxListed}; it is ${defaultListed} when left out.`,
      { param: "limit" },
    );
  }
  const data = ledger.list(count).map(viewRollout);
  return { object: "list", data, total: ledger.size, has_more: ledger.size > data.length };
}

/** Looking takes no job: it is asked for only where one id is in use in several jobs. */
function findRollout(ledger: Ledger, incoming: IncomingMessage): Rollout {
  const id = decodeTrajectoryId(rolloutPathSegment(incoming.url ?? "") ?? "");
  const jobArn = incoming.headers["x-amzn-sagemaker-job-arn"];
  const found = ledger
    .find(id)
    .filter((rollout) => jobArn === undefined || rollout.jobArn === jobArn);
  const [rollout] = found;
  if (rollout === undefined) {
    throw new GatewayError(
      "unknown_rollout",
      `turnpike knows no rollout ${JSON.stringify(id)}${jobArn === undefined ? "" : " of that job"}: no turn came under this name, and it was not registered. GET /rollouts lists those that are known.`,
      { param: "id" },
    );
  }
  if (found.length === 1) return rollout;
  throw new GatewayError(
    "conflicting_identity",
    `${found.length} jobs have a rollout ${JSON.stringify(id)}; say which by the header ${jobArnHeader}: ${found.map((one) => one.jobArn).join(", ")}.`,
    { param: "job_arn" },
  );
}

// Completing and rewarding

async function complete(c: Context, { ledger, lifecycle, identify }: Routes): Promise<Response> {
  const key = identifyPath(c, identify);
  const body = await readJsonObject(incomingOf(c));
  allowOnly(body, ["status", "reward", "rewards", "shape"]);
  const status = readStatus(body["status"]);
  // Before anything is sent: a completion cannot be taken back when its reward turns out to be invalid.
  const rewards = hasReward(body) ? resolveRewards(parseReward(body), ledger, key) : undefined;
  const completed = await lifecycle.completeRollout(key, status);
  if (rewards === undefined) return answer(c, [completed]);
  return answer(c, [completed, await rewardCompleted(lifecycle, key, rewards)]);
}

async function rewardCompleted(
  lifecycle: RolloutRoutes["lifecycle"],
  key: RolloutKey,
  rewards: readonly number[],
): Promise<Delivered> {
  try {
    return await lifecycle.updateReward(key, rewards);
  } catch (thrown) {
    const error = toGatewayError(thrown);
    throw restated(
      error,
      `The rollout was completed, but its reward was not delivered; send it by POST /rollouts/{id}/reward. ${error.message}`,
    );
  }
}

async function reward(c: Context, { ledger, lifecycle, identify }: Routes): Promise<Response> {
  const key = identifyPath(c, identify);
  const body = await readJsonObject(incomingOf(c));
  allowOnly(body, ["reward", "rewards", "shape"]);
  const rewards = resolveRewards(parseReward(body), ledger, key);
  return answer(c, [await lifecycle.updateReward(key, rewards)]);
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

function resolveRewards(
  statement: RewardStatement,
  ledger: Ledger,
  key: RolloutKey,
): readonly number[] {
  return shapeRewards(statement, ledger.get(key)?.capturedTurns());
}

/** The rollout as it is now, with what the caller should know of this call. */
function answer(c: Context, delivered: readonly [Delivered, ...Delivered[]]): Response {
  const last = delivered.at(-1) ?? delivered[0];
  const warnings = [...new Set(delivered.flatMap((one) => one.warnings))];
  c.header("x-turnpike-trajectory-id", last.rollout.trajectoryId);
  if (last.requestId !== undefined) c.header("x-request-id", last.requestId);
  return c.json({ ...viewRollout(last.rollout), warnings });
}
