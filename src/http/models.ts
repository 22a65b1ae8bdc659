/** The configured model names in OpenAI's list shape. The service lists none: what it serves is the job's own model. */
import { type Context, Hono } from "hono";
import { GatewayError } from "../errors.ts";

interface Model {
  readonly id: string;
  readonly object: "model";
  /** Seconds since the epoch; the names come from configuration, so nothing was created at any time. */
  readonly created: number;
  readonly owned_by: string;
}

/** Clients ask for these at start, some before they have a trajectory: no identity is asked for. */
export function modelRoutes(names: readonly string[]): Hono {
  const models = names.map(toModel);
  const app = new Hono();
  for (const prefix of ["", "/v1", "/rollouts/:id", "/rollouts/:id/v1"]) {
    app.get(`${prefix}/models`, (c) => c.json({ object: "list", data: models }));
    // Names such as `meta-llama/Llama-3` come with their slash encoded or as it is.
    app.get(`${prefix}/models/:name{.+}`, (c) => oneModel(c, models));
  }
  return app;
}

function toModel(id: string): Model {
  return { id, object: "model", created: 0, owned_by: "turnpike" };
}

function oneModel(c: Context, models: readonly Model[]): Response {
  const name = c.req.param("name") ?? "";
  const model = models.find(({ id }) => id === name);
  if (model !== undefined) return c.json(model);
  throw new GatewayError(
    "not_found",
    `No model ${JSON.stringify(name.slice(0, 256))} is configured; there are ${models.map(({ id }) => id).join(", ")} (models, TURNPIKE_MODELS).`,
    { param: "model" },
  );
}
