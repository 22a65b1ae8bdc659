import { describe, expect, it } from "vitest";
import { chat, startPair } from "../support/gateway.ts";
import { testJobArn } from "../support/simulator.ts";

type Pair = Awaited<ReturnType<typeof startPair>>;

async function register(pair: Pair, body: object): Promise<void> {
  const response = await fetch(`${pair.gateway.url}/rollouts`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
}

/** The requests the service got in this trajectory. */
function captured(pair: Pair, id: string): unknown[] {
  return (pair.simulator.trajectory(testJobArn, id)?.turns ?? []).map(({ request }) =>
    JSON.parse("text" in request.body ? request.body.text : ""),
  );
}

async function view(pair: Pair, id: string): Promise<Record<string, unknown>> {
  return (await (await fetch(`${pair.gateway.url}/rollouts/${id}`)).json()) as Record<
    string,
    unknown
  >;
}

const given = { temperature: 0, topP: 0.5, maxTokens: 64 };
const hardCoded = { temperature: 0.7, max_tokens: 4096 };

describe("enforced sampling", () => {
  it("puts a rollout's inference parameters into each of its turns, and says so in its view", async () => {
    await using pair = await startPair();
    await register(pair, { id: "t-1", inferenceParams: given });
    for (const stream of [false, true]) {
      await (await chat(pair.gateway, "t-1", { body: { ...hardCoded, stream } })).text();
    }
    const sent = { temperature: 0, top_p: 0.5, max_tokens: 64 };
    expect(captured(pair, "t-1")).toMatchObject([sent, sent]);
    expect(await view(pair, "t-1")).toMatchObject({
      inference_params: sent,
      enforced: {
        temperature: { turns: 2, asked: 0.7, sent: 0 },
        top_p: { turns: 2, asked: null, sent: 0.5 },
        max_tokens: { turns: 2, asked: 4096, sent: 64 },
      },
    });
  });

  it("leaves other rollouts alone, byte for byte", async () => {
    await using pair = await startPair();
    await register(pair, { id: "t-1", inferenceParams: given });
    await register(pair, { id: "t-2" });
    for (const id of ["t-2", "t-3"]) {
      await (await chat(pair.gateway, id, { body: hardCoded })).text();
      expect(captured(pair, id)).toEqual([
        { model: "test-model", messages: [{ role: "user", content: "Hello" }], ...hardCoded },
      ]);
      expect(await view(pair, id)).toMatchObject({ enforced: {}, inference_params: null });
    }
  });

  it("never: leaves the agent's parameters, and still renames the model", async () => {
    const config = { sampling: { enforce: "never", model: "default" } };
    await using pair = await startPair({ config });
    await register(pair, { id: "t-1", inferenceParams: given });
    await (await chat(pair.gateway, "t-1", { body: hardCoded })).text();
    expect(captured(pair, "t-1")).toMatchObject([{ model: "default", ...hardCoded }]);
    expect((await view(pair, "t-1"))["enforced"]).toEqual({
      model: { turns: 1, asked: "test-model", sent: "default" },
    });
  });

  it("always: fills what the rollout left out from the configuration, also for rollouts nobody registered", async () => {
    const config = { sampling: { enforce: "always", temperature: 1, max_tokens: 100 } };
    await using pair = await startPair({ config });
    await register(pair, { id: "t-1", inferenceParams: { temperature: 0 } });
    for (const id of ["t-1", "t-2"]) {
      await (await chat(pair.gateway, id, { body: hardCoded })).text();
    }
    expect(captured(pair, "t-1")).toMatchObject([{ temperature: 0, max_tokens: 100 }]);
    expect(captured(pair, "t-2")).toMatchObject([{ temperature: 1, max_tokens: 100 }]);
  });
});
