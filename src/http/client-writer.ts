/** One client's response: status and headers once, bytes with backpressure, pings through silence, one end. */
import type { ServerResponse } from "node:http";
import type { GatewayError } from "../errors.ts";
import type { AnswerHead } from "../job-runtime/attempt.ts";
import { terminalErrorEvent, writeError } from "./error-response.ts";

const ping = Buffer.from(": ping\n\n");
const blankLine = Buffer.from("\n\n");

export interface ClientWriterOptions {
  readonly outgoing: ServerResponse;
  /** Silence in a begun stream after which a ping is sent, in milliseconds. */
  readonly pingMs: number;
  /** Headers this client's answer carries besides the model's own. */
  readonly headers: () => Readonly<Record<string, string>>;
  /** Whether what was written ends between two events. */
  readonly betweenEvents: () => boolean;
  /** The client reads again after `write` had returned false. */
  readonly onDrain: (writer: ClientWriter) => void;
  /** First body byte handed to the client. */
  readonly onFirstByte: (writer: ClientWriter) => void;
  /** The response is over: written to its end, or its client is gone. */
  readonly onClose: (writer: ClientWriter) => void;
}

export class ClientWriter {
  readonly #options: ClientWriterOptions;
  readonly #outgoing: ServerResponse;
  #status = 499;
  #bytesOut = 0;
  #blocked = false;
  #streaming = false;
  #pingTimer: NodeJS.Timeout | undefined;
  #lastWriteAt = 0;

  constructor(options: ClientWriterOptions) {
    this.#options = options;
    this.#outgoing = options.outgoing;
    // "close" comes once.
    options.outgoing.on("close", () => {
      clearTimeout(this.#pingTimer);
      options.onClose(this);
    });
  }

  /** The status the client saw; 499 where it left before one was written. */
  get status(): number {
    return this.#status;
  }

  get bytesOut(): number {
    return this.#bytesOut;
  }

  /** The client's socket is full. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Everything was handed to the client's connection. */
  get finished(): boolean {
    return this.#outgoing.writableFinished;
  }

  /** The client had left before it could be written to. */
  get gone(): boolean {
    return this.#outgoing.destroyed;
  }

  whole(head: AnswerHead, body: Buffer): void {
    this.#writeHead(head, { "content-length": String(body.length) });
    this.#countBytes(body);
    this.#outgoing.end(body);
  }

  begin(head: AnswerHead): void {
    this.#streaming = true;
    this.#writeHead(head, { "cache-control": "no-cache", "x-accel-buffering": "no" });
    this.#armPing(this.#options.pingMs);
  }

  /** False when the client's socket is full. */
  write(bytes: Buffer): boolean {
    this.#lastWriteAt = performance.now();
    this.#countBytes(bytes);
    if (this.#outgoing.write(bytes)) return true;
    if (!this.#blocked) {
      this.#blocked = true;
      this.#outgoing.once("drain", () => {
        this.#blocked = false;
        this.#options.onDrain(this);
      });
    }
    return false;
  }

  end(): void {
    clearTimeout(this.#pingTimer);
    this.#outgoing.end();
  }

  /** A real status where nothing was written yet, else a terminal error event and never `[DONE]`. */
  fail(error: GatewayError): void {
    clearTimeout(this.#pingTimer);
    if (!this.#streaming) {
      this.#status = error.status;
      for (const [name, value] of Object.entries(this.#options.headers())) {
        this.#outgoing.setHeader(name, value);
      }
      this.#bytesOut += writeError(this.#outgoing, error) ?? 0;
      return;
    }
    // Only an event too long to be held back is cut; a blank line ends it.
    if (!this.#options.betweenEvents()) this.write(blankLine);
    this.write(terminalErrorEvent(error));
    this.#outgoing.end();
  }

  /** Ends the connection if the client has not read its answer by then; keeps no process alive. */
  destroyAfter(delayMs: number): void {
    setTimeout(() => this.#outgoing.destroy(), delayMs).unref();
  }

  #writeHead(head: AnswerHead, more: Readonly<Record<string, string>>): void {
    this.#status = head.status;
    const headers: Record<string, string> = { ...this.#options.headers(), ...more };
    if (head.contentType !== "") headers["content-type"] = head.contentType;
    if (head.requestId !== undefined) headers["x-request-id"] = head.requestId;
    this.#outgoing.writeHead(head.status, headers);
  }

  #countBytes(bytes: Buffer): void {
    if (this.#bytesOut === 0) this.#options.onFirstByte(this);
    this.#bytesOut += bytes.length;
  }

  /** Writes only note the time; the timer looks how long the silence really was. */
  #armPing(delayMs: number): void {
    this.#pingTimer = setTimeout(() => {
      const { pingMs } = this.#options;
      const silentMs = performance.now() - this.#lastWriteAt;
      if (silentMs >= pingMs - 1) {
        // Only between events, and never onto a socket that is not being read.
        if (this.#options.betweenEvents() && !this.#blocked) this.write(ping);
        this.#armPing(pingMs);
      } else {
        this.#armPing(pingMs - silentMs);
      }
    }, delayMs);
  }
}
