/**
 * One request and its response on the socket: what was sent so far, backpressure, the client's leaving,
 * and the ways to cut the connection that no well-behaved server has.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { DisconnectWindow, SimulatorEvent, SimulatorEventDetail } from "./events.ts";
import type { FaultKind } from "./fault-rules.ts";
import { simulatorLimits } from "./limits.ts";
import type { Operation, TrajectoryKey } from "./members.ts";
import { ServiceError } from "./service-error.ts";

/** Why a response ended before its end; thrown to unwind whoever was writing it. */
export class ConnectionCut extends Error {
  override readonly name = "ConnectionCut";
  readonly reason: "client-left" | "fault" | "closing";

  constructor(reason: ConnectionCut["reason"]) {
    super(`The response was cut: ${reason}.`);
    this.reason = reason;
  }
}

export interface ExchangeOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly operation: Operation;
  readonly clock: () => number;
  readonly record: (event: SimulatorEvent) => void;
}

export class Exchange {
  readonly requestId = randomUUID();
  readonly operation: Operation;
  readonly request: IncomingMessage;
  readonly receivedAt: number;
  /** Where in the life of its trajectory the request belongs, as far as known. */
  key: TrajectoryKey = { jobArn: "", trajectoryId: "" };
  body: Buffer<ArrayBuffer> = Buffer.alloc(0);
  /** Added to the clock for the Date header (fault `clock-skew`). */
  skewMs = 0;
  /** The connection is reset after this many bytes of the body (fault `reset-at-byte`). */
  resetAtByte = Number.POSITIVE_INFINITY;
  /** The kinds of fault injected so far. */
  readonly injected: FaultKind[] = [];
  /** Set when the client left before the end. */
  clientLeft: DisconnectWindow | null = null;
  firstByteAt: number | null = null;
  readonly #response: ServerResponse;
  readonly #options: ExchangeOptions;
  readonly #abort = new AbortController();
  #hasBody = false;
  #bodyBytesSent = 0;
  #isCut = false;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.operation = options.operation;
    this.request = options.request;
    this.#response = options.response;
    this.#response.sendDate = false;
    this.receivedAt = options.clock();
    this.#response.once("close", () => this.#closed());
    // A reset by the client is seen as "close"; without a listener it would end the process.
    this.#response.on("error", () => undefined);
  }

  /** Aborted, with a ConnectionCut, when the client left or the simulator closes. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Reads the whole request body; a body over the limit is a ServiceError. */
  async readBody(): Promise<void> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of this.request as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        // What is over the limit is read and thrown away, so that the client gets to read the answer.
        if (bytes <= simulatorLimits.maxRequestBodyBytes) chunks.push(chunk);
      }
    } catch {
      // The only way to fail here is that the connection ended inside the body.
      throw new ConnectionCut("client-left");
    }
    this.#hasBody = true;
    if (bytes > simulatorLimits.maxRequestBodyBytes) {
      throw new ServiceError(
        "RequestEntityTooLargeException",
        `The request body is longer than ${simulatorLimits.maxRequestBodyBytes} bytes.`,
      );
    }
    this.body = Buffer.concat(chunks);
  }

  record(detail: SimulatorEventDetail): void {
    this.#options.record({
      ...detail,
      at: this.#options.clock(),
      monotonicMs: performance.now(),
      requestId: this.requestId,
      operation: this.operation,
      jobArn: this.key.jobArn,
      trajectoryId: this.key.trajectoryId,
    });
  }

  /** Notes that a fault was really injected, not only planned. */
  noteFault(kind: FaultKind): void {
    this.injected.push(kind);
    this.record({ type: "fault-injected", fault: kind });
  }

  /** Sends status and headers now. The request id and the service's date are on every response. */
  begin(status: number, headers: Readonly<Record<string, string | number>>): void {
    this.signal.throwIfAborted();
    this.#response.writeHead(status, {
      "x-amzn-requestid": this.requestId,
      ...headers,
      date: new Date(this.#options.clock() + this.skewMs).toUTCString(),
    });
    this.#response.flushHeaders();
    this.record({ type: "headers-sent", status });
  }

  /** Writes bytes of the body and waits while the client reads too slowly. */
  async write(bytes: Uint8Array): Promise<void> {
    this.signal.throwIfAborted();
    const allowed = this.resetAtByte - this.#bodyBytesSent;
    if (bytes.length > allowed) {
      await this.write(bytes.subarray(0, allowed));
      this.noteFault("reset-at-byte");
      await this.reset();
    }
    if (bytes.length === 0) return;
    const isFree = this.#response.write(bytes);
    this.#noteSent(bytes.length);
    if (isFree) return;
    try {
      await once(this.#response, "drain", { signal: this.signal });
    } catch (error) {
      this.signal.throwIfAborted();
      throw error;
    }
  }

  /** Ends the response properly; resolves once its last byte is on its way. */
  async end(): Promise<void> {
    this.signal.throwIfAborted();
    const finished = once(this.#response, "finish", { signal: this.signal });
    this.#response.end();
    try {
      await finished;
    } catch (error) {
      this.signal.throwIfAborted();
      throw error;
    }
  }

  /** Waits, but not longer than the client stays. */
  async wait(ms: number): Promise<void> {
    this.signal.throwIfAborted();
    if (ms <= 0) return;
    try {
      await sleep(ms, undefined, { signal: this.signal });
    } catch (error) {
      this.signal.throwIfAborted();
      throw error;
    }
  }

  /** Waits until the client has left or the simulator closes. */
  async waitForEver(): Promise<never> {
    if (!this.signal.aborted) await once(this.signal, "abort");
    this.signal.throwIfAborted();
    throw new ConnectionCut("closing");
  }

  /**
   * Resets the connection (TCP RST) once what was written is on its way. Always throws, so that nothing is
   * written after it.
   */
  async reset(): Promise<never> {
    await new Promise<void>((resolve) => {
      // An empty write is called back when everything before it was flushed, or has failed.
      this.request.socket.write("", () => resolve());
    });
    this.signal.throwIfAborted();
    const cut = new ConnectionCut("fault");
    this.#isCut = true;
    this.request.socket.resetAndDestroy();
    this.#abort.abort(cut);
    throw cut;
  }

  /** Notes the end, when the response has ended and everything about it was written down. */
  async finish(): Promise<void> {
    if (!this.#response.closed) await once(this.#response, "close");
    const status = this.#response.headersSent ? this.#response.statusCode : null;
    this.record({ type: "finished", status });
  }

  /** Ends the exchange because the simulator closes. */
  close(): void {
    this.#isCut = true;
    this.#abort.abort(new ConnectionCut("closing"));
    this.request.socket.destroy();
  }

  #noteSent(bytes: number): void {
    if (this.#bodyBytesSent === 0) {
      this.firstByteAt = this.#options.clock();
      this.record({ type: "first-byte-sent" });
    }
    this.#bodyBytesSent += bytes;
  }

  #closed(): void {
    const isWhole = this.#response.writableFinished;
    if (!isWhole && !this.#isCut) {
      this.clientLeft = this.#window();
      this.record({
        type: "client-left",
        window: this.clientLeft,
        bodyBytesSent: this.#bodyBytesSent,
      });
      this.#abort.abort(new ConnectionCut("client-left"));
    }
  }

  #window(): DisconnectWindow {
    if (!this.#hasBody) return "request-body";
    if (this.operation !== "SampleWithResponseStream") return "non-streaming";
    if (!this.#response.headersSent) return "before-headers";
    return this.#bodyBytesSent === 0 ? "before-first-frame" : "mid-stream";
  }
}
