import OpenAI, { APIError } from "openai";
import { describe, expect, test, vi } from "vitest";
import { type Pair, startPair } from "../support/gateway.ts";
import { testJobArn } from "../support/simulator.ts";

const messages = [{ role: "user" as const, content: "Hello" }];
const model = "test-model";

function clientOf(
  { gateway }: Pair,
  options: { path?: string; apiKey?: string; maxRetries?: number } = {},
) {
  return new OpenAI({
    baseURL: `${gateway.url}${options.path ?? "/rollouts/agent-1/v1"}`,
    apiKey: options.apiKey ?? "sk-anything",
    maxRetries: options.maxRetries ?? 2,
  });
}

const tools = [
  {
    type: "function" as const,
    function: {
      name: "add",
      description: "adds",
      parameters: {
        type: "object",
        properties: { a: { type: "number" }, b: { type: "number" } },
        required: ["a", "b"],
      },
    },
  },
];

describe("the official openai client", () => {
  test("creates a completion", async () => {
    await using pair = await startPair();
    const { data, response, request_id } = await clientOf(pair)
      .chat.completions.create({ model, messages })
      .withResponse();
    expect(data.choices[0]?.message.content).toContain("Hello");
    expect(data.usage?.total_tokens).toBeGreaterThan(0);
    const turns = pair.simulator.trajectory(testJobArn, "agent-1")?.turns;
    expect(turns).toHaveLength(1);
    expect(request_id).toBe(turns?.[0]?.requestId);
    expect(response.headers.get("x-turnpike-trajectory-id")).toBe("agent-1");
  });

  test("streams a completion, usage chunk included only when asked for", async () => {
    await using pair = await startPair({ simulator: { stream: { sliceBytes: 5 } } });
    const client = clientOf(pair);
    const read = async (options: object) => {
      let text = "";
      let usage = 0;
      const stream = await client.chat.completions.create({
        model,
        messages,
        stream: true,
        ...options,
      });
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        if (chunk.usage) usage += 1;
      }
      return { text, usage };
    };
    const plain = await read({});
    expect(plain.text).toContain("Hello");
    expect(plain.usage).toBe(0);
    expect((await read({ stream_options: { include_usage: true } })).usage).toBe(1);
  });

  test.each([false, true])(
    "runs a tool over several turns (stream %s), all captured in order",
    async (stream) => {
      await using pair = await startPair();
      const client = clientOf(pair);
      const conversation: OpenAI.ChatCompletionMessageParam[] = [...messages];
      for (let turn = 0; turn < 5; turn += 1) {
        const request = { model, messages: conversation, tools };
        const message = stream
          ? (await client.chat.completions.stream(request).finalChatCompletion()).choices[0]
              ?.message
          : (await client.chat.completions.create(request)).choices[0]?.message;
        if (!message) throw new Error("no message");
        conversation.push(message as OpenAI.ChatCompletionMessageParam);
        if (!message.tool_calls?.length) break;
        for (const call of message.tool_calls) {
          conversation.push({ role: "tool", tool_call_id: call.id, content: "42" });
        }
      }
      expect(conversation.at(-1)?.content).toContain("42");
      const turns = pair.simulator.trajectory(testJobArn, "agent-1")?.turns ?? [];
      expect(turns.length).toBe(2);
      const sizes = turns.map(
        ({ request }) => JSON.parse((request.body as { text: string }).text).messages.length,
      );
      expect(sizes).toEqual([1, 3]);
    },
  );

  test("finds its trajectory by path, header, key or configuration", async () => {
    await using pair = await startPair({ config: { identity: { trajectory_id: "by-config" } } });
    const ask = (client: OpenAI, headers = {}) =>
      client.chat.completions.create({ model, messages }, { headers });
    await ask(clientOf(pair, { path: "/rollouts/by%2Fpath/v1" }));
    await ask(clientOf(pair, { path: "/v1" }), { "X-Amzn-SageMaker-Trajectory-Id": "by-header" });
    await ask(clientOf(pair, { path: "/v1", apiKey: "rollout-by-key" }));
    await ask(clientOf(pair, { path: "/v1" }));
    const ids = pair.simulator.trajectories().map(({ trajectoryId }) => trajectoryId);
    expect(ids).toEqual(["by/path", "by-header", "by-key", "by-config"]);
  });

  test("needs nothing but the environment a rollout's registration gives", async () => {
    await using pair = await startPair();
    const registered = await fetch(`${pair.gateway.url}/rollouts`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id: "by/environment", job_arn: testJobArn }),
    });
    const { env } = (await registered.json()) as { env: Record<string, string> };
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    await new OpenAI().chat.completions.create({ model, messages });
    expect(pair.simulator.trajectory(testJobArn, "by/environment")?.turns).toHaveLength(1);
  });

  test("gets its own error classes, with message, code and request id", async () => {
    await using pair = await startPair({ simulator: { faults: [{ kind: "validation" }] } });
    const error = await clientOf(pair)
      .chat.completions.create({ model, messages })
      .catch((e) => e);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({
      status: 400,
      code: "service_validation",
      type: "invalid_request_error",
    });
    expect(error.requestID).toMatch(/./);
  });

  test("raises on a stream that breaks, instead of taking it for finished", async () => {
    await using pair = await startPair({
      simulator: { faults: [{ kind: "truncate-frame", event: 4 }] },
    });
    const stream = await clientOf(pair).chat.completions.create({ model, messages, stream: true });
    const read = async () => {
      let chunks = 0;
      for await (const _chunk of stream) chunks += 1;
      return chunks;
    };
    const error = await read().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(APIError);
    expect((error as APIError).message).toContain("ended inside a frame");
  });

  test("retries what was throttled, and the turn is captured once", async () => {
    await using pair = await startPair({
      simulator: { faults: [{ kind: "throttle", times: 1, retryAfterSeconds: 0 }] },
    });
    await clientOf(pair).chat.completions.create({ model, messages });
    expect(pair.simulator.trajectory(testJobArn, "agent-1")?.turns).toHaveLength(1);
  });

  test.each(["reset-after-capture", "quota"] as const)("does not retry after %s", async (kind) => {
    await using pair = await startPair({ simulator: { faults: [{ kind, times: 1 }] } });
    await expect(
      clientOf(pair).chat.completions.create({ model, messages }),
    ).rejects.toBeInstanceOf(APIError);
    expect(pair.simulator.stats().requests).toEqual({ Sample: 1 });
  });

  test("aborts a stream, and the service hears of it", async () => {
    await using pair = await startPair({ simulator: { faults: [{ kind: "stall", event: 3 }] } });
    const stream = await clientOf(pair).chat.completions.create({ model, messages, stream: true });
    for await (const _chunk of stream) break;
    expect((await pair.simulator.waitFor("client-left")).window).toBe("mid-stream");
  });

  test("lists the configured models", async () => {
    await using pair = await startPair();
    const { data } = await clientOf(pair).models.list();
    expect(data.map(({ id }) => id)).toEqual(["default"]);
  });
});
