/**
 * The ingress's routes (service.md, "What the trainer sends to an agent"): POST /rollout and GET /health for agents
 * hosted anywhere, POST /invocations and GET /ping for Bedrock AgentCore; both do the same.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Context, Hono } from "hono";
import { GatewayError, toGatewayError } from "../errors.ts";
import { errorResponse } from "../http/error-response.ts";
import { parseJsonObject, readSmallBody } from "../http/read-json.ts";
import {
  maxRolloutRequestBytes,
  type RegistrationSettings,
  readRequest,
  registerRequest,
} from "../http/register-rollout.ts";
import { viewRollout } from "../rollouts/rollout-view.ts";
import type { Ingress, RolloutResult, RolloutTask } from "./ingress.ts";

export interface IngressAppParts {
  readonly ingress: Ingress;
  readonly registration: RegistrationSettings;
  /** Whether a request is answered at once, or when its rollout has ended and been reported. */
  readonly respond: "accepted" | "completed";
  /** Answers that are not yet on their way: the listener is not closed before. */
  readonly unanswered: Set<ServerResponse>;
  /** Told of failures nobody foresaw. */
  readonly onInternalError: (error: GatewayError) => void;
}

export function createIngressApp(parts: IngressAppParts): Hono {
  const { ingress, onInternalError } = parts;
  const app = new Hono({ strict: false });
  for (const path of ["/rollout", "/invocations"]) app.post(path, (c) => takeRequest(c, parts));
  app.get("/health", (c) => {
    const { running, queued, isClosed } = ingress;
    const body = { status: isClosed ? "draining" : "ok", running, queued };
    return c.json(body, isClosed ? 503 : 200);
  });
  // AgentCore ends an idle session: a rollout answered at once goes on behind it.
  app.get("/ping", (c) =>
    c.json({ status: ingress.running + ingress.queued > 0 ? "HealthyBusy" : "Healthy" }),
  );
  app.notFound((c) =>
    errorResponse(
      new GatewayError(
        "not_found",
        `turnpike's ingress has no ${c.req.method} ${c.req.path.slice(0, 200)}: it has POST /rollout, POST /invocations, GET /health and GET /ping. Chat completions are on the gateway's own port.`,
      ),
    ),
  );
  app.onError((thrown) => {
    const error = toGatewayError(thrown);
    if (error.code === "internal") onInternalError(error);
    return errorResponse(error);
  });
  return app;
}

async function takeRequest(c: Context, parts: IngressAppParts): Promise<Response> {
  const { ingress, registration, respond, unanswered } = parts;
  const { incoming, outgoing } = c.env as { incoming: IncomingMessage; outgoing: ServerResponse };
  unanswered.add(outgoing);
  outgoing.once("close", () => unanswered.delete(outgoing));
  const body = await readSmallBody(incoming, maxRolloutRequestBytes);
  const request = readRequest(parseJsonObject(body), incoming, registration);
  ingress.checkRoom(request);
  const task = ingress.accept({ registered: registerRequest(request, registration), body });
  c.header("x-turnpike-trajectory-id", task.key.trajectoryId);
  const { trajectoryId: id, jobArn: job_arn } = task.key;
  if (respond === "accepted") return c.json({ status: "accepted", id, job_arn, state: task.state });
  return c.json({ status: "completed", id, job_arn, ...describe(await task.result, task, parts) });
}

/** Throws what the trainer's side should see as an error: a rollout nothing was reported of. */
function describe(
  { conclusion, unreported }: RolloutResult,
  { key }: RolloutTask,
  { registration }: IngressAppParts,
): object {
  const { outcome, detail, report } = conclusion;
  if (unreported !== undefined) throw unreported;
  if (report === undefined) {
    const code = outcome === "interrupted" ? "shutting_down" : "agent_failed";
    throw new GatewayError(code, `Nothing was reported of this rollout: ${detail}.`);
  }
  const rollout = registration.ledger.get(key);
  return {
    outcome,
    detail,
    reported: { status: report.status, ...report.reward },
    rollout: rollout === undefined ? null : viewRollout(rollout),
  };
}
