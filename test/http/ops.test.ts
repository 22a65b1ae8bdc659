import { expect, it } from "vitest";
import { createOpsApp, type OpsParts } from "../../src/http/ops.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { call, serveApp } from "./serve-routes.ts";

const metrics = createMetrics({ processMetrics: false });
const healthy = () => Promise.resolve({ credentials: { ok: true } });

function serveOps(ready: OpsParts["ready"] = healthy): Promise<string> {
  return serveApp(createOpsApp({ metrics, ready }));
}

it("is alive without asking anything", async () => {
  const url = await serveOps(() => Promise.reject(new Error("never asked")));
  expect(await call(`${url}/livez`)).toMatchObject({ status: 200, json: { ok: true } });
});

it("is ready when every check is", async () => {
  expect(await call(`${await serveOps()}/readyz`)).toMatchObject({
    status: 200,
    json: { ok: true, checks: { credentials: { ok: true } } },
  });
});

it("is not ready when one check is not, and says which and why", async () => {
  const checks = { store: { ok: true }, credentials: { ok: false, message: "none found" } };
  const answer = await call(`${await serveOps(() => Promise.resolve(checks))}/readyz`);
  expect(answer.status).toBe(503);
  expect(answer.json).toEqual({ ok: false, checks });
});

it("is not ready when the checks throw, and keeps their text to itself", async () => {
  const answer = await call(`${await serveOps(() => Promise.reject(new Error("secret")))}/readyz`);
  expect(answer.status).toBe(503);
  expect(answer.json.ok).toBe(false);
  expect(answer.text).not.toContain("secret");
});

it("exposes the metrics in Prometheus' text format", async () => {
  const answer = await call(`${await serveOps()}/metrics`);
  expect(answer.status).toBe(200);
  expect(answer.headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(answer.text).toContain("turnpike_build_info{");
});

it("answers whatever Host a probe sends: the kubelet knows only the pod's address", async () => {
  const answer = await call(`${await serveOps()}/livez`, { headers: { host: "10.1.2.3:8486" } });
  expect(answer.status).toBe(200);
});

it.each(["/", "/rollouts", "/v1/chat/completions"])(
  "has no %s and says what it has",
  async (path) => {
    const answer = await call(`${await serveOps()}${path}`);
    expect(answer.status).toBe(404);
    expect(answer.json.error.message).toContain("GET /livez, /readyz and /metrics");
  },
);

it("takes no POST", async () => {
  expect((await call(`${await serveOps()}/livez`, { body: {} })).status).toBe(404);
});
