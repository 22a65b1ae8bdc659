/**
 * The corridor: one chat completion becomes one turn.
 * admit → read → understand → (divert) → identify → shape → call → answer → observe
 * (design.md, "The corridor"; the guard stands before the route table, in app.ts).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Handler } from "hono";
import { GatewayError, toGatewayError } from "../errors.ts";
import type { Identify, TurnIdentity } from "../identity/identify.ts";
import { rolloutPathSegment } from "../identity/path.ts";
import type { AnswerSink, SampleCall, SampleRequest } from "../job-runtime/sample.ts";
import { type ChatRequest, readChatRequest } from "../openai/request.ts";
import type { ShapedRequest } from "../openai/sampling.ts";
import type { TurnEnd, TurnOutcome, TurnStart } from "../rollouts/turn.ts";
import { writeError } from "./error-response.ts";
import { readBody } from "./read-body.ts";
import { type AnswerSummary, TurnAnswer } from "./turn-answer.ts";
import type { RunningTurn, TurnGate } from "./turn-gate.ts";

/** turnpike serves HTTP/1.1 only; the adapter's types allow for HTTP/2. */
type Incoming = IncomingMessage;
type Outgoing = ServerResponse;

/** Told of every turn; they look on and never hold one up. */
export interface TurnObserver {
  /** The turn's number within its trajectory, from 1. */
  begin(start: TurnStart): ObservedTurn;
}

export interface ObservedTurn {
  readonly number: number;
  end(end: TurnEnd): void;
}

/** A chat completion that has been read and not yet been made a turn. */
export interface ArrivedRequest {
  readonly request: ChatRequest;
  readonly body: Buffer;
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** `performance.now()` when the request's headers were read. */
  readonly arrivedAt: number;
}

export interface Corridor {
  /** True when it has taken the request and will answer it: an auxiliary call, which is no turn. */
  readonly divert?: ((arrived: ArrivedRequest) => boolean) | undefined;
  readonly identify: Identify;
  /** The step "sampling": the body to send, the same one where nothing is enforced. */
  readonly shape?:
    | ((identity: TurnIdentity, request: ChatRequest, body: Buffer) => ShapedRequest)
    | undefined;
  readonly sample: (request: SampleRequest, sink: AnswerSink) => SampleCall;
  readonly observer: TurnObserver;
  readonly gate: TurnGate;
  readonly limits: {
    readonly maxBodyBytes: number;
    readonly pingMs: number;
    readonly doneMarker: "required" | "optional";
  };
}

export function chatCompletions(corridor: Corridor): Handler<{ Bindings: HttpBindings }> {
  return (c) => {
    // Answers on node's own response: a web Response per turn would cost more than the rest together.
    void runTurn(corridor, c.env.incoming as Incoming, c.env.outgoing as Outgoing);
    return RESPONSE_ALREADY_SENT;
  };
}

async function runTurn(corridor: Corridor, incoming: Incoming, outgoing: Outgoing): Promise<void> {
  const arrivedAt = performance.now();
  try {
    corridor.gate.check();
    const body = await readBody(incoming, corridor.limits.maxBodyBytes);
    const request = readChatRequest(body);
    if (corridor.divert?.({ request, body, incoming, outgoing, arrivedAt })) return;
    const identity = corridor.identify({
      pathTrajectoryId: rolloutPathSegment(incoming.url ?? ""),
      headers: incoming.headers,
      rawHeaders: incoming.rawHeaders,
    });
    const shaped = corridor.shape?.(identity, request, body);
    // Reading the body took time: other turns may have come in meanwhile.
    corridor.gate.check();
    new Turn({
      corridor,
      identity,
      body: shaped?.body ?? body,
      stream: request.stream,
      changes: shaped?.changes,
      outgoing,
      arrivedAt,
      retryCount: retryCountOf(incoming),
    }).start();
  } catch (error) {
    refuse(outgoing, toGatewayError(error));
  }
}

/** Nothing of the turn has begun: it is no turn, only a request that was refused. */
function refuse(outgoing: Outgoing, error: GatewayError): void {
  if (outgoing.destroyed || outgoing.headersSent) return;
  if (error.code === "body_too_large" || error.code === "shutting_down") {
    outgoing.setHeader("connection", "close");
  }
  writeError(outgoing, error);
}

interface TurnParts {
  readonly corridor: Corridor;
  readonly identity: TurnIdentity;
  readonly body: Buffer;
  readonly stream: boolean;
  /** What the step "sampling" changed in the body. */
  readonly changes: ShapedRequest["changes"] | undefined;
  readonly outgoing: Outgoing;
  /** `performance.now()` when the request's headers were read. */
  readonly arrivedAt: number;
  readonly retryCount: number;
}

/** One turn from the moment it is known good until the client's response is closed. */
class Turn implements RunningTurn {
  readonly #parts: TurnParts;
  readonly #observed: ObservedTurn;
  readonly #answer: TurnAnswer;
  readonly #call: SampleCall;
  #firstByteMs: number | undefined;

  constructor(parts: TurnParts) {
    const { corridor, identity, body, stream, outgoing, changes } = parts;
    const { jobArn, trajectoryId } = identity;
    this.#parts = parts;
    this.#observed = corridor.observer.begin({
      jobArn,
      trajectoryId,
      stream,
      retryCount: parts.retryCount,
      bytesIn: body.length,
      ...(changes === undefined || changes.length === 0 ? {} : { changes }),
    });
    this.#answer = new TurnAnswer({
      outgoing,
      headers: () => this.#headers(),
      pingMs: corridor.limits.pingMs,
      doneMarker: corridor.limits.doneMarker,
      onDrain: () => this.#call.resume(),
      onFirstByte: () => {
        this.#firstByteMs = performance.now() - parts.arrivedAt;
      },
    });
    this.#call = corridor.sample({ jobArn, trajectoryId, body, stream }, this.#answer);
  }

  start(): void {
    const { corridor, outgoing } = this.#parts;
    corridor.gate.enter(this);
    outgoing.once("close", () => this.#settle());
    // The client may have left while its credentials or its body were waited for.
    if (outgoing.destroyed) this.#settle();
    else this.#call.start();
  }

  cutShort(): void {
    this.#call.abort();
    this.#answer.fail(
      new GatewayError(
        "shutting_down",
        "turnpike was shut down before this turn had ended (shutdown.drain_ms). The turn may have been captured.",
        { shouldRetry: false },
      ),
    );
    // A client that does not read its answer must not keep the process.
    setTimeout(() => this.#parts.outgoing.destroy(), 1_000).unref();
  }

  #headers(): Record<string, string> {
    return {
      "x-turnpike-trajectory-id": this.#parts.identity.trajectoryId,
      "x-turnpike-turn": String(this.#observed.number),
      "x-turnpike-attempts": String(this.#call.attempts),
    };
  }

  /** The response is closed: written to its end, or the client is gone and the service is told so. */
  #settle(): void {
    const { corridor, outgoing, arrivedAt } = this.#parts;
    this.#answer.stop();
    if (!outgoing.writableFinished) this.#call.abort();
    corridor.gate.leave(this);
    const summary = this.#answer.summary();
    const requestId = this.#call.requestId ?? summary.error?.requestId;
    this.#observed.end({
      outcome: outcomeOf(summary, outgoing.writableFinished),
      status: summary.status,
      ...(summary.error ? { code: summary.error.code } : {}),
      ...(summary.error?.serviceType ? { serviceType: summary.error.serviceType } : {}),
      ...(requestId === undefined ? {} : { requestId }),
      bytesOut: summary.bytesOut,
      ...(this.#firstByteMs === undefined ? {} : { firstByteMs: this.#firstByteMs }),
      durationMs: performance.now() - arrivedAt,
      attempts: this.#call.attempts,
      ...(summary.usage ? { usage: summary.usage } : {}),
    });
  }
}

function outcomeOf(summary: AnswerSummary, written: boolean): TurnOutcome {
  if (!written) return "client_left";
  if (!summary.error) return "finished";
  return summary.truncated ? "truncated" : "failed";
}

/** `X-Stainless-Retry-Count`, which the official SDKs send (clients.md, "How they retry"). */
function retryCountOf(incoming: Incoming): number {
  const header = incoming.headers["x-stainless-retry-count"];
  const count = typeof header === "string" ? Number.parseInt(header, 10) : 0;
  return Number.isInteger(count) && count > 0 ? count : 0;
}
