/**
 * Calls to models that are not being trained (judges, title generators): forwarded to the server that the
 * configuration names for them, never captured as turns, counted apart (service.md, "What hurts", 9).
 * match → admit → forward → count
 */
import type { Logger } from "pino";
import type { Dispatcher } from "undici";
import { toGatewayError } from "../errors.ts";
import type { ArrivedRequest } from "../http/chat-completions.ts";
import { writeError } from "../http/error-response.ts";
import { TurnGate } from "../http/turn-gate.ts";
import {
  type AuxiliaryServer,
  type AuxiliarySettings,
  createFindServer,
} from "./auxiliary-server.ts";
import { type ForwardEnd, type ForwardTimeouts, forwardCall } from "./forward.ts";

export interface AuxiliaryParts {
  readonly servers: readonly AuxiliarySettings[];
  /** Variable name → key. */
  readonly keys: ReadonlyMap<string, string>;
  readonly timeouts: ForwardTimeouts;
  readonly maxConcurrent: number;
  readonly createDispatcher: (origin: string) => Dispatcher;
  /** Told of every call, in whose name it came and how it ended. */
  readonly onCall: (arrived: ArrivedRequest, end: ForwardEnd) => void;
  readonly log: Pick<Logger, "info" | "warn">;
}

export class AuxiliaryCalls implements AsyncDisposable {
  readonly #parts: AuxiliaryParts;
  readonly #findServer;
  readonly #dispatchers = new Map<string, Dispatcher>();
  readonly #gate: TurnGate;

  constructor(parts: AuxiliaryParts) {
    this.#parts = parts;
    this.#findServer = createFindServer(parts.servers, parts.keys);
    this.#gate = new TurnGate(parts.maxConcurrent);
  }

  /** Takes the request if its model is an auxiliary one: true, and its answer is on the way. */
  readonly divert = (arrived: ArrivedRequest): boolean => {
    const server = this.#findServer(arrived.request.parsed["model"]);
    if (server === undefined) return false;
    void this.#answer(arrived, server);
    return true;
  };

  /** Waits for the calls under way, `drainMs` at most. */
  async close(drainMs: number): Promise<void> {
    await this.#gate.close(drainMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
  }

  async #answer(arrived: ArrivedRequest, server: AuxiliaryServer): Promise<void> {
    const { outgoing, body } = arrived;
    const { log, onCall, timeouts } = this.#parts;
    try {
      this.#gate.check();
    } catch (thrown) {
      writeError(outgoing, toGatewayError(thrown));
      return;
    }
    const cut = new AbortController();
    const call = { cutShort: () => cut.abort() };
    this.#gate.enter(call);
    outgoing.setHeader("x-turnpike-auxiliary", new URL(server.origin).host);
    const dispatcher = this.#dispatcherFor(server.origin);
    const end = await forwardCall({
      server,
      dispatcher,
      body,
      outgoing,
      timeouts,
      cut: cut.signal,
    });
    this.#gate.leave(call);
    onCall(arrived, end);
    const fields = {
      server: server.origin,
      outcome: end.outcome,
      status: end.status,
      bytes_in: body.length,
      duration_ms: Math.round(performance.now() - arrived.arrivedAt),
    };
    if (end.error === undefined) log.info(fields, "auxiliary-call-ended");
    else log.warn({ ...fields, err: end.error }, "auxiliary-call-ended");
  }

  #dispatcherFor(origin: string): Dispatcher {
    const known = this.#dispatchers.get(origin);
    if (known !== undefined) return known;
    const dispatcher = this.#parts.createDispatcher(origin);
    this.#dispatchers.set(origin, dispatcher);
    return dispatcher;
  }
}
