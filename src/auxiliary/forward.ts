/** One auxiliary call: the body as it came → another server → its answer as it comes, streaming or not. */
import type { ServerResponse } from "node:http";
import type { Dispatcher } from "undici";
import { GatewayError, toGatewayError } from "../errors.ts";
import { terminalErrorEvent, writeError } from "../http/error-response.ts";
import { version } from "../version.ts";
import type { AuxiliaryServer } from "./auxiliary-server.ts";

export interface ForwardTimeouts {
  readonly firstByteMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
}

export interface ForwardedCall {
  readonly server: AuxiliaryServer;
  readonly dispatcher: Dispatcher;
  readonly body: Buffer;
  readonly outgoing: ServerResponse;
  readonly timeouts: ForwardTimeouts;
  /** Ends the call: turnpike is shutting down. */
  readonly cut: AbortSignal;
}

export interface ForwardEnd {
  /** `failed`: no answer, or one that broke off; an error status of the server's own is an answer. */
  readonly outcome: "answered" | "failed" | "client_left";
  /** What the client saw. */
  readonly status: number;
  readonly error?: GatewayError;
}

/** What clients act on (clients.md, "How they retry"). The server's cookies and the like are nobody's business here. */
const passedOn = [
  "content-type",
  "x-request-id",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
];

/** Never rejects; the response is ended in any case. */
export async function forwardCall(call: ForwardedCall): Promise<ForwardEnd> {
  const { outgoing, cut, timeouts } = call;
  const left = new AbortController();
  const onClose = (): void => {
    if (!outgoing.writableFinished) left.abort();
  };
  outgoing.once("close", onClose);
  const signal = AbortSignal.any([left.signal, cut, AbortSignal.timeout(timeouts.totalMs)]);
  try {
    const answer = await send(call, signal);
    await passOn(answer, outgoing);
    return { outcome: "answered", status: answer.statusCode };
  } catch (thrown) {
    if (left.signal.aborted) return { outcome: "client_left", status: 499 };
    const error = describeFailure(thrown, call);
    fail(outgoing, error);
    return { outcome: "failed", status: outgoing.statusCode, error };
  } finally {
    outgoing.off("close", onClose);
  }
}

function send(
  { server, dispatcher, body, timeouts }: ForwardedCall,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  return dispatcher.request({
    origin: server.origin,
    path: server.path,
    method: "POST",
    // Nothing of the client's: its key is for turnpike, its headers name a job.
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "accept-encoding": "identity",
      "user-agent": `turnpike/${version}`,
      ...(server.apiKey === undefined ? {} : { authorization: `Bearer ${server.apiKey}` }),
    },
    body,
    headersTimeout: timeouts.firstByteMs,
    bodyTimeout: timeouts.idleMs,
    signal,
  });
}

async function passOn(answer: Dispatcher.ResponseData, outgoing: ServerResponse): Promise<void> {
  for (const name of passedOn) {
    const value = answer.headers[name];
    if (value !== undefined) outgoing.setHeader(name, value);
  }
  outgoing.writeHead(answer.statusCode);
  outgoing.flushHeaders();
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    if (!outgoing.write(chunk) && !outgoing.destroyed) await drained(outgoing);
  }
  await ended(outgoing);
}

function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off("drain", done).off("close", done);
      resolve();
    };
    outgoing.once("drain", done).once("close", done);
  });
}

function ended(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    outgoing.once("close", resolve);
    outgoing.end();
    if (outgoing.destroyed) resolve();
  });
}

/** A begun event stream ends with an error event; anything else that had begun is cut, so that nobody takes it for whole. */
function fail(outgoing: ServerResponse, error: GatewayError): void {
  if (!outgoing.headersSent) {
    writeError(outgoing, error);
    return;
  }
  if (String(outgoing.getHeader("content-type")).startsWith("text/event-stream")) {
    outgoing.write("\n\n");
    outgoing.end(terminalErrorEvent(error));
    return;
  }
  outgoing.destroy();
}

const timeoutCodes: ReadonlySet<unknown> = new Set([
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
]);
const unreachableCodes: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

function describeFailure(thrown: unknown, { server, cut }: ForwardedCall): GatewayError {
  const where = `The auxiliary server ${server.origin}`;
  if (cut.aborted) {
    return new GatewayError(
      "shutting_down",
      "turnpike was shut down before this auxiliary call had ended (shutdown.drain_ms).",
      { cause: thrown, shouldRetry: false },
    );
  }
  const { code, name } = thrown as { code?: unknown; name?: unknown };
  if (timeoutCodes.has(code) || name === "TimeoutError") {
    const message = `${where} did not answer in time (timeouts.first_byte_ms, idle_ms, total_ms).`;
    return new GatewayError("upstream_timeout", message, { cause: thrown });
  }
  if (unreachableCodes.has(code)) {
    const message = `${where} cannot be reached (${String(code)}); the operator's \`auxiliary\` names it.`;
    return new GatewayError("upstream_unreachable", message, { cause: thrown });
  }
  if (code === undefined) return toGatewayError(thrown);
  return new GatewayError("upstream_reset", `${where} broke the connection (${String(code)}).`, {
    cause: thrown,
  });
}
