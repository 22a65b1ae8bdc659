import { expect, it } from "vitest";
import { modelRoutes } from "../../src/http/models.ts";
import { call, serveRoutes } from "./serve-routes.ts";

const names = ["default", "meta-llama/Llama-3"];
const model = (id: string) => ({ id, object: "model", created: 0, owned_by: "turnpike" });

it.each(["/v1/models", "/models", "/rollouts/t-1/v1/models", "/rollouts/t-1/models"])(
  "%s lists the configured names in OpenAI's shape",
  async (path) => {
    const answer = await call(`${await serveRoutes(modelRoutes(names))}${path}`);
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({ object: "list", data: names.map(model) });
  },
);

it.each(["meta-llama/Llama-3", "meta-llama%2FLlama-3"])(
  "shows one model by the name %s",
  async (name) => {
    const url = await serveRoutes(modelRoutes(names));
    expect((await call(`${url}/v1/models/${name}`)).json).toEqual(model("meta-llama/Llama-3"));
  },
);

it("names the configured models when asked for another", async () => {
  const answer = await call(`${await serveRoutes(modelRoutes(names))}/v1/models/gpt-4o`);
  expect(answer.status).toBe(404);
  expect(answer.json.error).toMatchObject({ code: "not_found", param: "model" });
  expect(answer.json.error.message).toBe(
    'No model "gpt-4o" is configured; there are default, meta-llama/Llama-3 (models, TURNPIKE_MODELS).',
  );
});
