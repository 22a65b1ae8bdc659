/**
 * The rollout routes (design.md, "Routes"): register, look at, complete, reward. Not on the corridor: bodies are
 * small and parsed. Errors are thrown as GatewayError; the app that mounts these puts them on the wire.
 */
import type { IncomingMessage } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { GatewayError } from "../errors.ts";
import { createIdentify, jobArnHeader } from "../identity/identify.ts";
import { createJobCheck } from "../identity/job-policy.ts";
import { rolloutPathSegment } from "../identity/path.ts";
import { decodeTrajectoryId } from "../identity/trajectory-id.ts";
import type { Ledger } from "../rollouts/ledger.ts";
import type { Rollout } from "../rollouts/rollout.ts";
import { viewRollout } from "../rollouts/rollout-view.ts";
import { type Conclusion, completeRollout, rewardRollout } from "./conclude-rollout.ts";
import { type RegistrationSettings, registerRollout } from "./register-rollout.ts";

export interface RolloutRoutes extends Omit<RegistrationSettings, "checkJob"> {
  readonly lifecycle: Conclusion["lifecycle"];
  /** delivery.wait_s, in milliseconds. */
  readonly waitMs: number;
  /** identity.allowed_jobs; none means any. */
  readonly allowedJobs: readonly string[];
}

export function rolloutRoutes(parts: RolloutRoutes): Hono {
  const { ledger, lifecycle, jobArn, allowedJobs, waitMs } = parts;
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
  const conclusion: Conclusion = { ledger, lifecycle, identify, waitMs };
  const app = new Hono();
  app.post("/rollouts", async (c) =>
    c.json(await registerRollout(incomingOf(c), { ...parts, checkJob })),
  );
  app.get("/rollouts", (c) => c.json(listRollouts(ledger, c.req.query("limit"))));
  app.get("/rollouts/:id", (c) => c.json(viewRollout(findRollout(ledger, incomingOf(c)))));
  app.post("/rollouts/:id/complete", (c) => completeRollout(c, conclusion));
  app.post("/rollouts/:id/reward", (c) => rewardRollout(c, conclusion));
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
