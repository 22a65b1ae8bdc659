import { describe, expect, test } from "vitest";
import { chat, errorOf, hello, startPair } from "../support/gateway.ts";
import { testJobArn } from "../support/simulator.ts";

/** The one turn the simulator captured for a trajectory. */
function onlyTurn(pair: Awaited<ReturnType<typeof startPair>>, trajectory: string) {
  const turns = pair.simulator.trajectory(testJobArn, trajectory)?.turns ?? [];
  expect(turns).toHaveLength(1);
  return turns[0];
}

describe("a turn without a stream", () => {
  test("goes up byte for byte and comes back byte for byte", async () => {
    await using pair = await startPair();
    // Spacing, key order, escapes and unknown fields a parser would normalise away.
    const text =
      '{ "messages":[{"role":"user","content":"h\\u00e9llo \\ud83c\\udf0d / 日本"}],\n  "zeta": 1.0, "model":"m" , "big": 12345678901234567890 }';
    const response = await chat(pair.gateway, "t-1", { text });
    const turn = onlyTurn(pair, "t-1");
    expect(turn?.operation).toBe("Sample");
    expect(turn?.request.body).toEqual({ text });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect({ text: await response.text() }).toEqual(turn?.response.body);
  });

  test("tells the trajectory, the turn's number and the service's request id", async () => {
    await using pair = await startPair();
    await chat(pair.gateway, "a b/c");
    const { headers } = await chat(pair.gateway, "a b/c");
    expect(headers.get("x-turnpike-trajectory-id")).toBe("a b/c");
    expect(headers.get("x-turnpike-turn")).toBe("2");
    expect(headers.get("x-turnpike-attempts")).toBe("1");
    const turns = pair.simulator.trajectory(testJobArn, "a b/c")?.turns;
    expect(headers.get("x-request-id")).toBe(turns?.[1]?.requestId);
  });

  test.each([
    "/v1/chat/completions",
    "/chat/completions",
    "//v1//chat/completions",
    "/v1/chat/completions/",
    "/rollouts/t-1/chat/completions",
    "/rollouts/t-1/v1/chat/completions?x=//y",
  ])("is taken at %s", async (path) => {
    await using pair = await startPair({ config: { identity: { trajectory_id: "t-1" } } });
    const response = await fetch(pair.gateway.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(hello),
    });
    expect(response.status).toBe(200);
    expect(pair.simulator.trajectory(testJobArn, "t-1")?.turns).toHaveLength(1);
  });
});

describe("a streamed turn", () => {
  const wires = ["eventstream", "sse"] as const;
  const slices = [0, 1, 3, 7, 1000];

  test.each(wires.flatMap((wire) => slices.map((sliceBytes) => [wire, sliceBytes] as const)))(
    "over %s in slices of %i bytes is the model's bytes",
    async (wire, sliceBytes) => {
      await using pair = await startPair({ simulator: { stream: { wire, sliceBytes } } });
      const response = await chat(pair.gateway, "t-1", {
        body: { stream: true, stream_options: { include_usage: true } },
      });
      const text = await response.text();
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
      expect(response.headers.get("content-encoding")).toBeNull();
      const turn = onlyTurn(pair, "t-1");
      expect(turn?.operation).toBe("SampleWithResponseStream");
      expect({ text }).toEqual(turn?.response.body);
      expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    },
  );

  test("answered with JSON is passed on as JSON", async () => {
    await using pair = await startPair({ simulator: { stream: { wire: "json" } } });
    const response = await chat(pair.gateway, "t-1", { body: { stream: true } });
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toMatchObject({ object: "chat.completion" });
  });

  test.each([0, 1, 10])(
    "of bare JSON chunks in slices of %i bytes is wrapped as SSE",
    async (sliceBytes) => {
      await using pair = await startPair({
        simulator: { stream: { wire: "bare-json", sliceBytes } },
      });
      const response = await chat(pair.gateway, "t-1", { body: { stream: true } });
      const events = (await response.text()).split("\n\n");
      expect(events.at(-1)).toBe("");
      expect(events.at(-2)).toBe("data: [DONE]");
      const chunks = events.slice(0, -2).map((text) => JSON.parse(text.replace(/^data: /, "")));
      expect(chunks.length).toBeGreaterThan(3);
      for (const chunk of chunks) expect(chunk).toMatchObject({ object: "chat.completion.chunk" });
    },
  );

  test("asks for one only when the body says a literal true", async () => {
    await using pair = await startPair();
    await chat(pair.gateway, "t-1", { body: { stream: "true" } });
    expect(onlyTurn(pair, "t-1")?.operation).toBe("Sample");
  });
});

describe("a body no model could take", () => {
  test.each([
    ["", "The request has no body"],
    ["{", "not valid JSON (unexpected character at position 1)"],
    ['{"a":[1,', "not valid JSON (it ends too early)"],
    ['{"secret": nope}', "not valid JSON (unexpected character"],
    ["[]", "is an array, not a JSON object"],
    ["null", "is null, not a JSON object"],
    ['"hi"', "is a string, not a JSON object"],
  ])("%s is refused with what is wrong, and nothing goes upstream", async (text, message) => {
    await using pair = await startPair();
    const response = await chat(pair.gateway, "t-1", { text });
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error["message"]).toContain(message);
    expect(error["message"]).not.toContain("secret");
    expect(pair.simulator.stats().requests).toEqual({});
  });

  test("larger than the limit is a 413, declared or not", async () => {
    await using pair = await startPair({ config: { server: { max_body_bytes: 1000 } } });
    const text = JSON.stringify({ ...hello, padding: "x".repeat(2000) });
    const declared = await chat(pair.gateway, "t-1", { text });
    expect(declared.status).toBe(413);
    expect((await errorOf(declared))["message"]).toContain("server.max_body_bytes");
    const chunked = await fetch(`${pair.gateway.url}/rollouts/t-1/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: new Blob([text]).stream(),
      duplex: "half",
    } as RequestInit);
    expect(chunked.status).toBe(413);
    expect(pair.simulator.stats().requests).toEqual({});
  });
});

describe("limits", () => {
  test("one turn more than server.max_concurrent_turns is a 429 that says when to come back", async () => {
    await using pair = await startPair({
      config: { server: { max_concurrent_turns: 1 } },
      simulator: { faults: [{ kind: "delay-headers", ms: 60_000, times: 1 }] },
    });
    const leaving = new AbortController();
    const first = chat(pair.gateway, "t-1", { signal: leaving.signal });
    await pair.simulator.waitFor("request-received");
    const second = await chat(pair.gateway, "t-1");
    expect(second.status).toBe(429);
    expect(second.headers.get("retry-after-ms")).toBe("1000");
    expect(await errorOf(second)).toMatchObject({ code: "too_many_turns" });
    leaving.abort();
    await expect(first).rejects.toThrow();
    await pair.simulator.waitFor("client-left");
    expect((await chat(pair.gateway, "t-1")).status).toBe(200);
  });

  test("headers larger than server.max_header_bytes are a 431 in OpenAI's shape", async () => {
    await using pair = await startPair({ config: { server: { max_header_bytes: 2048 } } });
    const response = await chat(pair.gateway, "t-1", { headers: { "x-long": "x".repeat(4000) } });
    expect(response.status).toBe(431);
    expect(await errorOf(response)).toMatchObject({ code: "headers_too_large" });
  });
});

describe("routes that are not there", () => {
  test.each([
    ["/v1/responses", "chat completions"],
    ["/v1/messages", "OpenAI-compatible client"],
    ["/rollouts/x/v1/messages/count_tokens", "count tokens"],
    ["/v1/embeddings", "another server"],
    ["/v1/nonsense", "check OPENAI_BASE_URL"],
  ])("%s is a 404 that says what to do", async (path, advice) => {
    await using pair = await startPair();
    const response = await fetch(pair.gateway.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(response.status).toBe(404);
    expect((await errorOf(response))["message"]).toContain(advice);
  });

  test("chat completions with GET is a 405", async () => {
    await using pair = await startPair();
    const response = await fetch(`${pair.gateway.url}/v1/chat/completions`);
    expect(response.status).toBe(405);
  });
});
