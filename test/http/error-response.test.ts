import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { GatewayError } from "../../src/errors.ts";
import {
  errorHeaders,
  errorResponse,
  terminalErrorEvent,
  writeError,
} from "../../src/http/error-response.ts";

const throttled = new GatewayError("service_throttled", "Slow down, “please”.", {
  requestId: "req-1",
  retryAfterMs: 1200.2,
  param: "messages",
});
const body = {
  error: {
    message: "Slow down, “please”.",
    type: "rate_limit_error",
    param: "messages",
    code: "service_throttled",
  },
};

describe("errorHeaders", () => {
  it("say when to come back in milliseconds and in whole seconds, rounded up", () => {
    expect(errorHeaders(throttled)).toEqual({
      "content-type": "application/json",
      "x-request-id": "req-1",
      "retry-after-ms": "1201",
      "retry-after": "2",
    });
  });

  it("leave the retry to the client's own rule unless the error has one", () => {
    expect(errorHeaders(throttled)).not.toHaveProperty("x-should-retry");
    const of = (shouldRetry: boolean) => new GatewayError("internal", "x", { shouldRetry });
    expect(errorHeaders(of(false))["x-should-retry"]).toBe("false");
    expect(errorHeaders(of(true))["x-should-retry"]).toBe("true");
    expect(errorHeaders(new GatewayError("service_conflict", "x"))["x-should-retry"]).toBe("false");
  });

  it("ask for a bearer token on every 401", () => {
    const headers = errorHeaders(new GatewayError("invalid_api_key", "x"));
    expect(headers["www-authenticate"]).toBe('Bearer realm="turnpike"');
  });

  it.each(["a\r\nset-cookie: b", "é", "", "x".repeat(257)])(
    "drop the request id %j, which is unfit for a header",
    (requestId) => {
      expect(errorHeaders(new GatewayError("internal", "x", { requestId }))).not.toHaveProperty(
        "x-request-id",
      );
    },
  );
});

describe("on the wire", () => {
  it("is OpenAI's shape as a web response", async () => {
    const response = errorResponse(throttled, { "x-turnpike-turn": "3", "x-request-id": "mine" });
    expect(response.status).toBe(429);
    expect(response.headers.get("x-turnpike-turn")).toBe("3");
    expect(response.headers.get("x-request-id")).toBe("req-1");
    expect(await response.json()).toEqual(body);
  });

  it("is the same on node's own response, with its length", async () => {
    const server = createServer((_incoming, outgoing) => {
      const bytes = writeError(outgoing, throttled, { "x-turnpike-turn": "3" });
      expect(bytes).toBe(Buffer.byteLength(JSON.stringify(body)));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(response.status).toBe(429);
    expect(response.headers.get("x-turnpike-turn")).toBe("3");
    expect(response.headers.get("retry-after-ms")).toBe("1201");
    expect(response.headers.get("content-length")).toBe(
      `${Buffer.byteLength(JSON.stringify(body))}`,
    );
    expect(await response.json()).toEqual(body);
  });

  it("is an unnamed event with a truthy error at the end of a stream", () => {
    const event = terminalErrorEvent(throttled).toString();
    expect(event).toMatch(/^data: \{.*\}\n\n$/);
    expect(JSON.parse(event.slice("data: ".length))).toEqual(body);
  });

  it("keeps a message with line breaks on one line of the event", () => {
    const event = terminalErrorEvent(
      new GatewayError("internal", "a\nb\r\n\ndata: [DONE]"),
    ).toString();
    expect(event.trimEnd().split(/[\r\n]/)).toHaveLength(1);
  });
});
