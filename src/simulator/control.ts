/**
 * The simulator's own endpoints, under `/_simulator/`: no signature, so the Host must be this machine's
 * (DNS rebinding) and no web page may call (foreign Origin, cross-site fetch).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Faults } from "./faults.ts";
import type { Stats } from "./stats.ts";
import type { Trajectories } from "./trajectories.ts";

export interface ControlOptions {
  readonly trajectories: Trajectories;
  readonly faults: Faults;
  readonly stats: Stats;
  /** Host names allowed besides `localhost` and IP addresses. */
  readonly allowedHosts: readonly string[];
}

type Control = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

interface Reply {
  readonly status: number;
  readonly body: unknown;
}

/** A list of rules is short; anything longer is a mistake. */
const maxControlBodyBytes = 1024 * 1024;

/** Makes the handler. It never rejects. */
export function createControl(options: ControlOptions): Control {
  return async (request, response) => {
    try {
      const refusal = refused(request, options.allowedHosts);
      const url = new URL(request.url ?? "/", "http://simulator");
      const lines = refusal === undefined ? jsonLines(request, url, options) : undefined;
      if (lines !== undefined) {
        response.writeHead(200, { "content-type": "application/x-ndjson" });
        await pipeline(Readable.from(lines), response);
        return;
      }
      const reply = refusal ?? (await handle(request, url.pathname, options));
      response.writeHead(reply.status, { "content-type": "application/json" });
      response.end(`${JSON.stringify(reply.body, undefined, 2)}\n`);
    } catch {
      // The client left, in the middle of its request or of our answer.
      response.destroy();
    }
  };
}

function jsonLines(
  request: IncomingMessage,
  url: URL,
  { trajectories }: ControlOptions,
): Generator<string> | undefined {
  if (request.method !== "GET" || url.pathname !== "/_simulator/turns.jsonl") return;
  return linesOf(trajectories.turns(url.searchParams.get("trajectory") ?? undefined));
}

function* linesOf(values: Iterable<unknown>): Generator<string> {
  for (const value of values) yield `${JSON.stringify(value)}\n`;
}

async function handle(
  request: IncomingMessage,
  path: string,
  options: ControlOptions,
): Promise<Reply> {
  const { trajectories, faults, stats } = options;
  switch (`${request.method} ${path}`) {
    case "GET /_simulator/trajectories":
      return ok([...trajectories.summaries()]);
    case "GET /_simulator/stats":
      return ok(stats.snapshot());
    case "GET /_simulator/faults":
      return ok(faults.list());
    case "PUT /_simulator/faults":
      return await putFaults(request, faults);
    case "DELETE /_simulator/faults":
      faults.set([]);
      return ok([]);
    default:
      return {
        status: 404,
        body: {
          error: `No ${request.method} ${path}. There are: GET turns.jsonl, GET trajectories, GET stats, and GET, PUT and DELETE faults, under /_simulator/.`,
        },
      };
  }
}

async function putFaults(request: IncomingMessage, faults: Faults): Promise<Reply> {
  let text = "";
  request.setEncoding("utf8");
  for await (const chunk of request as AsyncIterable<string>) {
    if (text.length <= maxControlBodyBytes) text += chunk;
  }
  try {
    faults.set(JSON.parse(text));
    return ok(faults.list());
  } catch (error) {
    return { status: 400, body: { error: error instanceof Error ? error.message : String(error) } };
  }
}

function ok(body: unknown): Reply {
  return { status: 200, body };
}

/** The refusal of a request that may come from a web page, or `undefined`. */
function refused(request: IncomingMessage, allowedHosts: readonly string[]): Reply | undefined {
  const { host = "", origin } = request.headers;
  const name = hostName(host);
  if (name !== "localhost" && isIP(name) === 0 && !allowedHosts.includes(name)) {
    return forbidden(`Host '${host}' is not this simulator's; call it by its address.`);
  }
  if (origin !== undefined && origin !== `http://${host}`) {
    return forbidden(`Origin '${origin}' may not call the simulator.`);
  }
  if (request.headers["sec-fetch-site"] === "cross-site") {
    return forbidden("Cross-site requests may not call the simulator.");
  }
  return undefined;
}

/** The Host header without its port, and without the brackets of an IPv6 address. */
function hostName(host: string): string {
  return host
    .replace(/:\d+$/u, "")
    .replace(/^\[(.*)\]$/u, "$1")
    .toLowerCase();
}

function forbidden(error: string): Reply {
  return { status: 403, body: { error } };
}
