import { describe, expect, test } from "vitest";
import type { FaultRule } from "../../src/simulator/fault-rules.ts";
import { chat, errorOf, startGateway, startPair } from "../support/gateway.ts";
import { startRawUpstream } from "../support/raw-upstream.ts";
import { testJobArn } from "../support/simulator.ts";

const terminalError = /data: (\{"error":.*\})\n\n$/;

/** The error a broken stream ends with. */
function terminalErrorOf(text: string): Record<string, unknown> {
  expect(text).toMatch(terminalError);
  return JSON.parse(terminalError.exec(text)?.[1] ?? "{}").error;
}

describe("what the service refuses", () => {
  const cases: [FaultRule, number, string, Record<string, string>][] = [
    [{ kind: "validation" }, 400, "service_validation", {}],
    [{ kind: "access-denied" }, 403, "service_access_denied", {}],
    [{ kind: "not-found" }, 404, "service_not_found", {}],
    [
      { kind: "throttle", retryAfterSeconds: 2 },
      429,
      "service_throttled",
      { "retry-after-ms": "2000", "retry-after": "2" },
    ],
    [{ kind: "quota" }, 429, "insufficient_quota", { "x-should-retry": "false" }],
    [{ kind: "internal-error" }, 500, "service_internal", {}],
    [{ kind: "unavailable" }, 503, "service_unavailable", {}],
    [{ kind: "unavailable", html: true }, 503, "service_unavailable", {}],
  ];

  test.each(cases.flatMap((one) => [false, true].map((stream) => [...one, stream] as const)))(
    "%j is %i %s",
    async (fault, status, code, headers, stream) => {
      await using pair = await startPair({ simulator: { faults: [fault] } });
      const response = await chat(pair.gateway, "t-1", { body: { stream } });
      expect(response.status).toBe(status);
      for (const [name, value] of Object.entries(headers)) {
        expect(response.headers.get(name)).toBe(value);
      }
      expect(response.headers.get("x-request-id")).toMatch(/./);
      expect(response.headers.get("x-turnpike-trajectory-id")).toBe("t-1");
      expect(response.headers.get("content-type")).toBe("application/json");
      expect(await errorOf(response)).toMatchObject({ code, param: null });
    },
  );
});

describe("an exception inside a stream", () => {
  test.each([
    [{ kind: "exception-frame", event: 0 }, 500],
    [{ kind: "exception-frame", event: 0, exception: "ThrottlingException" }, 429],
    [{ kind: "exception-frame", event: 0, exception: "ValidationException" }, 400],
    [{ kind: "error-frame", event: 0 }, 500],
  ] as const)("as the first frame is a real HTTP status: %j", async (fault, status) => {
    await using pair = await startPair({ simulator: { faults: [fault] } });
    const response = await chat(pair.gateway, "t-1", { body: { stream: true } });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect((await errorOf(response))["message"]).toMatch(/./);
  });

  test.each([
    { kind: "exception-frame", event: 3 },
    { kind: "error-frame", event: 3 },
    { kind: "corrupt-crc", event: 3 },
    { kind: "corrupt-crc", event: 3, part: "prelude" },
    { kind: "truncate-frame", event: 3 },
    { kind: "truncate-frame", event: 3, ending: "reset" },
    { kind: "oversize-frame", event: 3 },
    { kind: "end-early", event: 3 },
    { kind: "end-early" },
    { kind: "reset-at-byte", byte: 1500 },
  ] as const)("in its middle is a terminal error event and never [DONE]: %j", async (fault) => {
    await using pair = await startPair({ simulator: { faults: [fault] } });
    const response = await chat(pair.gateway, "t-1", { body: { stream: true } });
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).not.toContain("[DONE]");
    expect(terminalErrorOf(text)).toMatchObject({ message: expect.stringMatching(/./) });
    // Every event before it is whole and the model's own.
    for (const event of text.split("\n\n").slice(0, -2)) {
      expect(JSON.parse(event.replace(/^data: /, ""))).toMatchObject({
        object: "chat.completion.chunk",
      });
    }
    const modelText = pair.simulator.trajectory(testJobArn, "t-1")?.turns[0]?.response.body;
    const before = text.slice(0, text.search(terminalError));
    expect((modelText as { text: string }).text.startsWith(before)).toBe(true);
  });

  test("over bare SSE that is cut is a terminal error event too", async () => {
    await using pair = await startPair({
      simulator: { stream: { wire: "sse" }, faults: [{ kind: "end-early" }] },
    });
    const text = await (await chat(pair.gateway, "t-1", { body: { stream: true } })).text();
    expect(text).not.toContain("[DONE]");
    expect(terminalErrorOf(text)).toMatchObject({
      code: "stream_truncated",
      message: expect.stringContaining("ended without its end marker"),
    });
  });

  test("a missing [DONE] is accepted behind a finish_reason where the operator says so", async () => {
    await using pair = await startPair({
      config: { stream: { done_marker: "optional" } },
      simulator: { faults: [{ kind: "end-early" }] },
    });
    const text = await (await chat(pair.gateway, "t-1", { body: { stream: true } })).text();
    expect(text).not.toContain("[DONE]");
    expect(text).not.toContain('"error"');
    expect(text).toContain('"finish_reason":"stop"');
  });
});

describe("a connection that fails", () => {
  test("before anything was sent is a 502 the client may retry", async () => {
    await using gateway = await startGateway({ endpoint: "http://127.0.0.1:1" });
    const response = await chat(gateway, "t-1");
    expect(response.status).toBe(502);
    expect(response.headers.get("x-should-retry")).toBeNull();
    expect(await errorOf(response)).toMatchObject({
      code: "upstream_unreachable",
      message: expect.stringContaining("Nothing was sent"),
    });
  });

  test.each(["reset-before-capture", "reset-after-capture"] as const)(
    "after the request went out is ambiguous: not sent again, and the client is told not to (%s)",
    async (kind) => {
      await using pair = await startPair({ simulator: { faults: [{ kind }] } });
      const response = await chat(pair.gateway, "t-1");
      expect(response.status).toBe(502);
      expect(response.headers.get("x-should-retry")).toBe("false");
      expect(await errorOf(response)).toMatchObject({ code: "upstream_reset" });
      expect(pair.simulator.stats().requests).toEqual({ Sample: 1 });
    },
  );

  test("in the middle of a JSON answer is a real error status, not half a body", async () => {
    await using pair = await startPair({
      simulator: { faults: [{ kind: "reset-at-byte", byte: 100 }] },
    });
    const response = await chat(pair.gateway, "t-1");
    expect(response.status).toBe(502);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(await errorOf(response)).toMatchObject({ code: "upstream_reset" });
  });
});

describe("answers the service never gives", () => {
  test("a model's own error comes back as it is", async () => {
    const body = '{"error":{"message":"context too long","type":"x","code":null}}';
    await using upstream = await startRawUpstream((_request, response) => {
      response.writeHead(422, { "content-type": "application/json" }).end(body);
    });
    await using gateway = await startGateway({ endpoint: upstream.url });
    const response = await chat(gateway, "t-1");
    expect(response.status).toBe(422);
    expect(await response.text()).toBe(body);
  });

  test("a redirect is not followed", async () => {
    await using upstream = await startRawUpstream((_request, response) => {
      response.writeHead(307, { location: "http://169.254.169.254/" }).end();
    });
    await using gateway = await startGateway({ endpoint: upstream.url });
    const response = await chat(gateway, "t-1");
    expect(response.status).toBe(502);
    expect(await errorOf(response)).toMatchObject({ code: "upstream_protocol" });
    expect(upstream.requests).toHaveLength(1);
  });

  test("a stream that ends before its first event is a 502, not an empty 200", async () => {
    await using upstream = await startRawUpstream((_request, response) => {
      response.writeHead(200, { "content-type": "application/vnd.amazon.eventstream" }).end();
    });
    await using gateway = await startGateway({ endpoint: upstream.url });
    const response = await chat(gateway, "t-1", { body: { stream: true } });
    expect(response.status).toBe(502);
    expect(await errorOf(response)).toMatchObject({ code: "stream_truncated" });
  });

  test("a stream ending in the model's own error gets no second one", async () => {
    const text = 'data: {"error":{"message":"out of memory"}}\n\n';
    await using upstream = await startRawUpstream((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).end(text);
    });
    await using gateway = await startGateway({ endpoint: upstream.url });
    const response = await chat(gateway, "t-1", { body: { stream: true } });
    expect(await response.text()).toBe(text);
  });

  test("nothing of the client's own headers goes upstream but what the protocol needs", async () => {
    await using upstream = await startRawUpstream((_request, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
    await using gateway = await startGateway({ endpoint: upstream.url });
    await chat(gateway, "t-1", {
      headers: {
        authorization: "Bearer sk-secret",
        "openai-organization": "org",
        "x-amz-content-sha256": "0".repeat(64),
        "x-stainless-retry-count": "0",
        cookie: "a=b",
      },
    });
    expect(
      Object.keys(upstream.requests[0]?.headers ?? {}).sort((a, b) => (a < b ? -1 : 1)),
    ).toEqual([
      "accept-encoding",
      "authorization",
      "connection",
      "content-length",
      "content-type",
      "host",
      "user-agent",
      "x-amz-date",
      "x-amzn-sagemaker-job-arn",
      "x-amzn-sagemaker-trajectory-id",
    ]);
    expect(upstream.requests[0]?.headers.authorization).toMatch(/^AWS4-HMAC-SHA256 /);
    expect(upstream.requests[0]?.headers["accept-encoding"]).toBe("identity");
  });
});

describe("credentials and clock", () => {
  test("an expired token is refreshed once and the turn sent again, captured once", async () => {
    let expired = true;
    let fetched = 0;
    const keys = (expiresAt?: Date) => ({
      accessKeyId: expiresAt ? "AKIDOLD" : "AKIDNEW",
      secretAccessKey: "s",
      sessionToken: expiresAt ? "old" : "new",
      ...(expiresAt ? { expiresAt } : {}),
    });
    await using pair = await startPair({
      simulator: { credentials: [keys(new Date(0)), keys()] },
      credentials: () => {
        fetched += 1;
        const old = expired;
        expired = false;
        return Promise.resolve(keys(old ? new Date(0) : undefined));
      },
    });
    const response = await chat(pair.gateway, "t-1");
    expect(response.status).toBe(200);
    expect(response.headers.get("x-turnpike-attempts")).toBe("2");
    expect(fetched).toBe(2);
    expect(pair.simulator.trajectory(testJobArn, "t-1")?.turns).toHaveLength(1);
  });

  test("credentials that stay refused are a 401 that says what to do, after one refresh", async () => {
    await using pair = await startPair({ simulator: { faults: [{ kind: "expired-token" }] } });
    const response = await chat(pair.gateway, "t-1");
    expect(response.status).toBe(401);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect((await errorOf(response))["message"]).toContain("turnpike doctor");
    expect(pair.simulator.stats().requests).toEqual({ Sample: 2 });
  });

  test("credentials that cannot be had are a 401 without a call", async () => {
    await using pair = await startPair({ credentials: () => Promise.reject(new Error("no role")) });
    const response = await chat(pair.gateway, "t-1");
    expect(response.status).toBe(401);
    expect(await errorOf(response)).toMatchObject({ code: "credentials_unavailable" });
    expect(pair.simulator.stats().requests).toEqual({});
  });

  test.each([3_600_000, -3_600_000])(
    "a clock that is off by %i ms is corrected from the service's Date, and signed anew once",
    async (ms) => {
      await using pair = await startPair({ simulator: { faults: [{ kind: "clock-skew", ms }] } });
      const first = await chat(pair.gateway, "t-1");
      expect(first.status).toBe(200);
      expect(first.headers.get("x-turnpike-attempts")).toBe("2");
      const second = await chat(pair.gateway, "t-1", { body: { stream: true } });
      expect(second.headers.get("x-turnpike-attempts")).toBe("1");
      expect((await second.text()).endsWith("data: [DONE]\n\n")).toBe(true);
      expect(pair.simulator.trajectory(testJobArn, "t-1")?.turns).toHaveLength(2);
    },
  );
});
