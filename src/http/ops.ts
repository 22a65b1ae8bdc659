/**
 * The ops listener: /livez, /readyz, /metrics. It has no guard: the kubelet calls it by the pod's address and
 * Prometheus by any name, and there is nothing here that a stranger may not read or set off: no rollout, no
 * trajectory, no ARN, and only GET.
 */
import { Hono } from "hono";
import { GatewayError, toGatewayError } from "../errors.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { errorResponse } from "./error-response.ts";

export interface ReadinessCheck {
  readonly ok: boolean;
  /** What is wrong and what to do; without secrets, since anyone may read it. */
  readonly message?: string;
}

export type ReadinessChecks = Readonly<Record<string, ReadinessCheck>>;

export interface OpsParts {
  readonly metrics: Pick<Metrics, "contentType" | "text">;
  /** Ready when every check is ok. Asked every few seconds: never a call that costs. */
  readonly ready: () => Promise<ReadinessChecks>;
}

export function createOpsApp({ metrics, ready }: OpsParts): Hono {
  const app = new Hono();
  app.get("/livez", (c) => c.json({ ok: true }));
  app.get("/readyz", async (c) => {
    const checks = await ask(ready);
    const ok = Object.values(checks).every((check) => check.ok);
    return c.json({ ok, checks }, ok ? 200 : 503);
  });
  app.get("/metrics", async (c) =>
    c.body(await metrics.text(), 200, { "content-type": metrics.contentType }),
  );
  app.notFound(() =>
    errorResponse(
      new GatewayError(
        "not_found",
        "This is turnpike's ops listener: GET /livez, /readyz and /metrics. Chat completions are on the gateway's own port.",
      ),
    ),
  );
  app.onError((thrown) => errorResponse(toGatewayError(thrown)));
  return app;
}

/** A check that throws is one that failed; its text stays inside. */
async function ask(ready: OpsParts["ready"]): Promise<ReadinessChecks> {
  try {
    return await ready();
  } catch {
    return { readiness: { ok: false, message: "The checks themselves failed; see the log." } };
  }
}
