/**
 * The one place that puts a GatewayError on the wire, in OpenAI's shape (clients.md, "How they read errors",
 * "How they retry"): as an HTTP answer, or as the terminal event of a stream that has begun.
 */
import type { ServerResponse } from "node:http";
import type { GatewayError } from "../errors.ts";

export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

export function errorBody(error: GatewayError): OpenAiErrorBody {
  const { message, type, param, code } = error;
  return { error: { message, type, param, code } };
}

/** Printable and short: what a service calls a request id need not be fit for a header. */
const headerSafe = /^[!-~]{1,256}$/;

/**
 * `x-request-id` is the service's. `retry-after-ms` beats `retry-after` in the official SDKs, the latter is for
 * everyone else; `x-should-retry` overrides their rule for the status.
 */
export function errorHeaders(error: GatewayError): Record<string, string> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (error.requestId !== undefined && headerSafe.test(error.requestId)) {
    headers["x-request-id"] = error.requestId;
  }
  if (error.retryAfterMs !== undefined) {
    const milliseconds = Math.max(0, Math.ceil(error.retryAfterMs));
    headers["retry-after-ms"] = String(milliseconds);
    headers["retry-after"] = String(Math.ceil(milliseconds / 1000));
  }
  if (error.shouldRetry !== undefined) headers["x-should-retry"] = String(error.shouldRetry);
  if (error.status === 401) headers["www-authenticate"] = 'Bearer realm="turnpike"';
  return headers;
}

type Headers = Readonly<Record<string, string>>;

/** For Hono's handlers and `onError`. The error's own headers win over `more`. */
export function errorResponse(error: GatewayError, more: Headers = {}): Response {
  return new Response(JSON.stringify(errorBody(error)), {
    status: error.status,
    headers: { ...more, ...errorHeaders(error) },
  });
}

/**
 * For the corridor, on node's own response, where no header has been sent yet; headers set on it before are
 * kept, and the error's own win over `more`. Ends the response; returns the body's bytes.
 */
export function writeError(
  outgoing: ServerResponse,
  error: GatewayError,
  more: Headers = {},
): number {
  const body = Buffer.from(JSON.stringify(errorBody(error)));
  const length = { "content-length": String(body.length) };
  outgoing.writeHead(error.status, { ...more, ...errorHeaders(error), ...length });
  outgoing.end(body);
  return body.length;
}

/** Unnamed on purpose: openai-python's chat path ignores the event's name and looks for a truthy `error` (clients.md). */
export function terminalErrorEvent(error: GatewayError): Buffer {
  return Buffer.from(`data: ${JSON.stringify(errorBody(error))}\n\n`);
}
