import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { sseEvents } from "../../src/simulator/models/sse-events.ts";
import { lifecycle, sample, startTestSimulator, testJobArn } from "../support/simulator.ts";
import { payloadText, readFrames } from "./frames-of.ts";

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => unknown;

/** A real OpenAI-compatible server, as far as this test needs one. */
async function startModelServer(handler: Handler) {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    await handler(request, response, body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}/v1/`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const startBehind = (baseUrl: string, options: object = {}) =>
  startTestSimulator({ model: { kind: "upstream", baseUrl, ...options } });

test("a request goes to the model as it came and its answer comes back as it is", async () => {
  const seen: { url?: string; authorization?: string; body?: string } = {};
  await using model = await startModelServer((request, response, body) => {
    seen.url = request.url ?? "";
    seen.authorization = request.headers.authorization ?? "";
    seen.body = body;
    response.setHeader("content-type", "application/json; charset=utf-8");
    response.end('{ "choices" : [] }');
  });
  await using simulator = await startBehind(model.baseUrl, { apiKey: "k" });
  const response = await sample(simulator, "t", { temperature: 0.5 });
  expect(await response.text()).toBe('{ "choices" : [] }');
  expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
  expect(seen.url).toBe("/v1/chat/completions");
  expect(seen.authorization).toBe("Bearer k");
  const [turn] = simulator.trajectory(testJobArn, "t")?.turns ?? [];
  expect(turn?.request.body).toEqual({ text: seen.body });
  expect(turn?.response.body).toEqual({ text: '{ "choices" : [] }' });
});

test("the model can be renamed", async () => {
  await using model = await startModelServer((_request, response, body) => {
    response.setHeader("content-type", "application/json");
    response.end(body);
  });
  await using simulator = await startBehind(model.baseUrl, { model: "real-model" });
  expect(await (await sample(simulator, "t")).json()).toMatchObject({ model: "real-model" });
});

test("the model's stream passes through, one event a frame", async () => {
  await using model = await startModelServer((_request, response) => {
    response.setHeader("content-type", "text/event-stream");
    response.write('data: {"a":1}\r\n\r\ndata: {"b"');
    response.end(":2}\r\n\r\ndata: [DONE]\r\n\r\n");
  });
  await using simulator = await startBehind(model.baseUrl);
  const response = await sample(simulator, "t", { stream: true });
  const bytes = new Uint8Array(await response.arrayBuffer());
  expect(readFrames(bytes).length).toBe(3);
  expect(payloadText(bytes)).toBe('data: {"a":1}\r\n\r\ndata: {"b":2}\r\n\r\ndata: [DONE]\r\n\r\n');
});

test("a model that breaks off its stream ends it with a ModelStreamError", async () => {
  await using model = await startModelServer((request, response) => {
    response.setHeader("content-type", "text/event-stream");
    response.write('data: {"a":1}\n\n', () => request.socket.resetAndDestroy());
  });
  await using simulator = await startBehind(model.baseUrl);
  const response = await sample(simulator, "t", { stream: true });
  const frames = readFrames(new Uint8Array(await response.arrayBuffer()));
  expect(frames.at(-1)?.headers[":exception-type"]).toBe("ModelStreamError");
  await simulator.waitFor("finished");
  expect(simulator.trajectory(testJobArn, "t")?.turns[0]?.outcome).toBe("model-failed");
});

test.for([
  [400, 400, "ValidationException"],
  [401, 403, "AccessDeniedException"],
  [404, 404, "ResourceNotFoundException"],
  [429, 429, "ThrottlingException"],
  [500, 500, "InternalServiceError"],
] as const)("a model's %i is the service's %i %s", async ([given, status, type]) => {
  await using model = await startModelServer((_request, response) => {
    response.statusCode = given;
    response.end("why");
  });
  await using simulator = await startBehind(model.baseUrl);
  const response = await sample(simulator, "t");
  expect(response.status).toBe(status);
  expect(await response.json()).toEqual({
    __type: type,
    Message: `The model answered ${given}: why`,
  });
  expect(simulator.trajectories()).toEqual([]);
});

test("a model that cannot be reached is an internal error", async () => {
  const { baseUrl, [Symbol.asyncDispose]: stop } = await startModelServer(() => undefined);
  await stop();
  await using simulator = await startBehind(baseUrl);
  const response = await sample(simulator, "t");
  expect(response.status).toBe(500);
  expect(response.headers.get("x-amzn-errortype")).toBe("InternalServiceError");
});

test("a turn whose trajectory is sealed while the model answers is refused", async () => {
  const asked = Promise.withResolvers<void>();
  const sealed = Promise.withResolvers<void>();
  await using model = await startModelServer(async (_request, response) => {
    asked.resolve();
    await sealed.promise;
    response.end("{}");
  });
  await using simulator = await startBehind(model.baseUrl);
  const turn = sample(simulator, "t");
  await asked.promise;
  await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t" });
  sealed.resolve();
  const response = await turn;
  expect(response.status).toBe(400);
  expect(await response.text()).toContain("not in valid status");
  expect(simulator.trajectory(testJobArn, "t")?.turnCount).toBe(0);
});

test("a client that leaves ends the model's work, before and inside the stream", async () => {
  const left: string[] = [];
  const bothLeft = Promise.withResolvers<void>();
  await using model = await startModelServer((_request, response, body) => {
    if (!body.includes("silent")) {
      response.setHeader("content-type", "text/event-stream");
      response.write('data: {"a":1}\n\n');
    }
    response.once("close", () => {
      left.push(body.includes("silent") ? "silent" : "streaming");
      if (left.length === 2) bothLeft.resolve();
    });
  });
  await using simulator = await startBehind(model.baseUrl);
  const abort = new AbortController();
  const options = { stream: true, signal: abort.signal };
  const streaming = await sample(simulator, "a", options);
  const silent = sample(simulator, "b", { ...options, model: "silent" });
  const failed = Promise.allSettled([streaming.arrayBuffer(), silent]);
  await simulator.waitFor("request-received", (event) => event.trajectoryId === "b");
  await simulator.waitFor("first-byte-sent", (event) => event.trajectoryId === "a");
  abort.abort();
  await failed;
  await bothLeft.promise;
  expect(new Set(left)).toEqual(new Set(["silent", "streaming"]));
  await simulator.waitFor("finished", (event) => event.trajectoryId === "b");
  expect(simulator.stats().disconnects.byWindow).toEqual({ "mid-stream": 1, "before-headers": 1 });
});

test.for([1, 2, 3, 5, 1000])(
  "SSE cut every %i bytes is split into the same events",
  async (size) => {
    const text = "\n: ping\n\ndata: é日🚦\ndata: 2\n\nevent: x\r\ndata: 3\r\n\r\ndata: rest";
    const bytes = Buffer.from(text);
    async function* cut() {
      for (let from = 0; from < bytes.length; from += size) {
        yield await Promise.resolve(bytes.subarray(from, from + size));
      }
    }
    const events = [];
    for await (const event of sseEvents(cut())) events.push(Buffer.from(event).toString("utf8"));
    expect(events).toEqual([
      "\n: ping\n\n",
      "data: é日🚦\ndata: 2\n\n",
      "event: x\r\ndata: 3\r\n\r\n",
      "data: rest",
    ]);
  },
);
