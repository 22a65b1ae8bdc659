/** Routes on a real socket, behind the gateway's own listener, and a client that may send any header. */
import { type IncomingHttpHeaders, request } from "node:http";
import { Hono } from "hono";
import { onTestFinished } from "vitest";
import { toGatewayError } from "../../src/errors.ts";
import { errorResponse } from "../../src/http/error-response.ts";
import type { Guard } from "../../src/http/guard.ts";
import { listen } from "../../src/http/listener.ts";

/** Routes below an app that puts their errors on the wire, as the gateway's does. */
export function serveRoutes(routes: Hono, guard?: Guard): Promise<string> {
  const app = new Hono();
  app.route("/", routes);
  app.onError((thrown) => errorResponse(toGatewayError(thrown)));
  return serveApp(app, guard);
}

/** The URL; closed when the test is over. */
export async function serveApp(app: Hono, guard?: Guard): Promise<string> {
  const listener = await listen({
    app,
    host: "127.0.0.1",
    port: 0,
    maxHeaderBytes: 16_384,
    ...(guard ? { guard } : {}),
  });
  onTestFinished(() => listener.close());
  return listener.url;
}

export interface Exchange {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A text goes out as it is, anything else as JSON. */
  readonly body?: unknown;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON; `undefined` where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into any answer
  readonly json: any;
}

/** fetch() would not let a test set Host, Origin or a broken path. */
export function call(url: string, { method, headers, body }: Exchange = {}): Promise<Answer> {
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const type = text === undefined ? {} : { "content-type": "application/json" };
  const target = new URL(url);
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: target.hostname,
      port: target.port,
      path: url.slice(target.origin.length) || "/",
      method: method ?? (text === undefined ? "GET" : "POST"),
      headers: { ...type, ...headers },
      agent: false,
    });
    outgoing.on("error", reject);
    outgoing.on("response", (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const answer = Buffer.concat(chunks).toString();
        const { statusCode: status = 0, headers: received } = incoming;
        resolve({ status, headers: received, text: answer, json: parse(answer) });
      });
    });
    outgoing.end(text);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
