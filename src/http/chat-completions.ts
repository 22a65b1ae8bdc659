/**
 * The corridor: one chat completion becomes one turn.
 * admit → read → understand → (divert) → identify → (join) → shape → call → answer → observe
 * (design.md, "The corridor"; the guard stands before the route table, in app.ts).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Handler } from "hono";
import { type GatewayError, toGatewayError } from "../errors.ts";
import type { Identify, TurnIdentity } from "../identity/identify.ts";
import { rolloutPathSegment } from "../identity/path.ts";
import type { AnswerSink, SampleCall, SampleRequest } from "../job-runtime/sample.ts";
import { bodyHashOf } from "../job-runtime/sign.ts";
import { type ChatRequest, readChatRequest } from "../openai/request.ts";
import type { ShapeTurn } from "../openai/sampling-policy.ts";
import type { TurnStart } from "../rollouts/turn.ts";
import { writeError } from "./error-response.ts";
import { readBody } from "./read-body.ts";
import { type RecentTurns, turnKey } from "./recent-turns.ts";
import { type ObservedTurn, Turn } from "./turn.ts";
import type { TurnGate } from "./turn-gate.ts";

/** turnpike serves HTTP/1.1 only; the adapter's types allow for HTTP/2. */
type Incoming = IncomingMessage;
type Outgoing = ServerResponse;

/** Told of every turn; they look on and never hold one up. */
export interface TurnObserver {
  /** Throws GatewayError where the rollout takes no more turns. */
  begin(start: TurnStart): ObservedTurn;
  /** A client's retry got the answer of a turn that was there already. */
  joined(identity: TurnIdentity): void;
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
  readonly shape?: ShapeTurn | undefined;
  readonly sample: (request: SampleRequest, sink: AnswerSink) => SampleCall;
  readonly observer: TurnObserver;
  readonly gate: TurnGate;
  readonly recent: RecentTurns;
  readonly limits: {
    readonly maxBodyBytes: number;
    readonly pingMs: number;
    readonly doneMarker: "required" | "optional";
    readonly joinGraceMs: number;
    /** Of one answer, for a client's retry. */
    readonly maxKeptBytes: number;
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
    const arrived = { request, body, incoming, outgoing, arrivedAt };
    if (corridor.divert?.(arrived)) return;
    const identity = corridor.identify({
      pathTrajectoryId: rolloutPathSegment(incoming.url ?? ""),
      headers: incoming.headers,
      rawHeaders: incoming.rawHeaders,
    });
    const bodyHash = bodyHashOf(body);
    const key = turnKey(identity, bodyHash);
    const retryCount = retryCountOf(incoming);
    if (retryCount > 0 && join(corridor, { identity, key, outgoing })) return;
    // Reading the body took time: other turns may have come in meanwhile.
    corridor.gate.check();
    beginTurn(corridor, { ...arrived, identity, bodyHash, key, retryCount });
  } catch (error) {
    refuse(outgoing, toGatewayError(error));
  }
}

interface Retry {
  readonly identity: TurnIdentity;
  readonly key: string;
  readonly outgoing: Outgoing;
}

/** A marked retry of a turn that is there gets that turn's answer: a second call would be a second turn. */
function join(corridor: Corridor, { identity, key, outgoing }: Retry): boolean {
  const turn = corridor.recent.find(key);
  if (turn === undefined) return false;
  corridor.observer.joined(identity);
  turn.join(outgoing);
  return true;
}

interface IdentifiedRequest extends ArrivedRequest {
  readonly identity: TurnIdentity;
  readonly bodyHash: string;
  readonly key: string;
  readonly retryCount: number;
}

function beginTurn(corridor: Corridor, arrived: IdentifiedRequest): void {
  const { identity, request, body, bodyHash, key, retryCount, incoming } = arrived;
  const { gate, recent, limits } = corridor;
  const shaped = corridor.shape?.(identity, request, body);
  const sent = shaped?.body ?? body;
  const observed = corridor.observer.begin({
    jobArn: identity.jobArn,
    trajectoryId: identity.trajectoryId,
    stream: request.stream,
    retryCount,
    bytesIn: body.length,
    ...(shaped?.changes ? { changes: shaped.changes } : {}),
    ...(retryCount > 0 ? { possibleDuplicate: recent.mayBeCaptured(key) } : {}),
  });
  const turn = new Turn({
    identity,
    request: {
      jobArn: identity.jobArn,
      trajectoryId: identity.trajectoryId,
      body: sent,
      bodyHash: sent === body ? bodyHash : bodyHashOf(sent),
      stream: request.stream,
      patienceMs: patienceOf(incoming),
    },
    sample: corridor.sample,
    observed,
    arrivedAt: arrived.arrivedAt,
    pingMs: limits.pingMs,
    doneMarker: limits.doneMarker,
    joinGraceMs: limits.joinGraceMs,
    maxKeptBytes: limits.maxKeptBytes,
    onSettled: (settled) => {
      gate.leave(settled);
      recent.settled(key, settled);
    },
  });
  gate.enter(turn);
  recent.started(key, turn);
  turn.start(arrived.outgoing);
}

/** Nothing of the turn has begun: it is no turn, only a request that was refused. */
function refuse(outgoing: Outgoing, error: GatewayError): void {
  if (outgoing.destroyed || outgoing.headersSent) return;
  if (error.code === "body_too_large" || error.code === "shutting_down") {
    outgoing.setHeader("connection", "close");
  }
  writeError(outgoing, error);
}

/** `X-Stainless-Retry-Count`, which the official SDKs send (clients.md, "How they retry"). */
function retryCountOf(incoming: Incoming): number {
  const count = numberOf(incoming.headers["x-stainless-retry-count"]);
  return count !== undefined && Number.isInteger(count) ? count : 0;
}

/** The client's own timeout, which Node's SDK and Python's name differently, in seconds both. */
function patienceOf({ headers }: Incoming): number | undefined {
  const seconds =
    numberOf(headers["x-stainless-timeout"]) ?? numberOf(headers["x-stainless-read-timeout"]);
  return seconds === undefined ? undefined : seconds * 1000;
}

function numberOf(header: string | string[] | undefined): number | undefined {
  const value = typeof header === "string" ? Number(header) : Number.NaN;
  return Number.isFinite(value) && value > 0 ? value : undefined;
}
