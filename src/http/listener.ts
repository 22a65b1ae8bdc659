/** A node server around a Hono app: guard first, then the route table; listening or a clear error. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";
import { GatewayError } from "../errors.ts";
import { errorResponse, writeError } from "./error-response.ts";

export interface ListenOptions {
  readonly app: Hono;
  readonly host: string;
  readonly port: number;
  readonly maxHeaderBytes: number;
  /** What is wrong with a request, before any route sees it. */
  readonly guard?: (incoming: IncomingMessage) => GatewayError | undefined;
}

export interface Listener extends AsyncDisposable {
  /** `http://127.0.0.1:8484`, with the port that was really taken. */
  readonly url: string;
  /** Takes no more requests and ends every connection, those with an answer still to come after `graceMs` (default 0). */
  close(graceMs?: number): Promise<void>;
}

/** Rejects with node's error (`EADDRINUSE`, …) when it cannot listen. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const server = createServer({
    maxHeaderSize: options.maxHeaderBytes,
    // A turn may wait for its model for minutes; the turn's own timers end it.
    requestTimeout: 0,
    headersTimeout: 60_000,
    keepAliveTimeout: 75_000,
  });
  server.on("request", requestListener(options));
  server.on("clientError", answerClientError);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return new NodeListener(server, options.host);
}

class NodeListener implements Listener {
  readonly url: string;
  readonly #server: Server;

  constructor(server: Server, host: string) {
    const { port } = server.address() as AddressInfo;
    this.#server = server;
    this.url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
  }

  async close(graceMs = 0): Promise<void> {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    // An error only says that it was not listening any more.
    this.#server.close(() => resolve());
    // A connection whose answer was written is idle, but node closes it only when it is told again.
    const idle = setInterval(() => this.#server.closeIdleConnections(), 10);
    const end = setTimeout(() => this.#server.closeAllConnections(), graceMs);
    await closed;
    clearInterval(idle);
    clearTimeout(end);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function requestListener({ app, guard }: ListenOptions) {
  const routes = getRequestListener(app.fetch, {
    // Two gateways in one process, or a user's own code, must not find other globals.
    overrideGlobalObjects: false,
    // A request the adapter cannot read: a broken URL or Host header.
    errorHandler: (cause: unknown) => errorResponse(unreadable(cause)),
  });
  return (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const refusal = guard?.(incoming);
    if (refusal) {
      // The body is not read: it may be what is wrong.
      outgoing.setHeader("connection", "close");
      writeError(outgoing, refusal);
      return;
    }
    incoming.url = withoutDoubledSlashes(incoming.url ?? "/");
    void routes(incoming, outgoing);
  };
}

/** Some clients put a slash between a base URL that ends with one and a path that begins with one. */
function withoutDoubledSlashes(url: string): string {
  return url.includes("//") && url.startsWith("/") ? url.replace(/^[^?]*/, collapse) : url;
}

function collapse(path: string): string {
  return path.replace(/\/{2,}/g, "/");
}

function unreadable(cause: unknown): GatewayError {
  return new GatewayError(
    "invalid_request",
    "The request's URL or Host header cannot be read. Check OPENAI_BASE_URL.",
    { cause },
  );
}

interface AnswerableSocket {
  readonly writable: boolean;
  end(text: string): void;
  destroy(): void;
}

/** Requests that node's parser refuses never reach a route; they too get OpenAI's error shape. */
function answerClientError(error: Error & { code?: string }, socket: AnswerableSocket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const refusal =
    error.code === "HPE_HEADER_OVERFLOW"
      ? new GatewayError(
          "headers_too_large",
          "The request's headers are larger than server.max_header_bytes allows.",
        )
      : new GatewayError("invalid_request", "The request is not valid HTTP/1.1.");
  const { type, code, message } = refusal;
  const body = JSON.stringify({ error: { message, type, param: null, code } });
  const reason = refusal.status === 431 ? "Request Header Fields Too Large" : "Bad Request";
  socket.end(
    `HTTP/1.1 ${refusal.status} ${reason}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
