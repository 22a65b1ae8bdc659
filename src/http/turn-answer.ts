/**
 * The corridor's last step for one turn: the model's answer → the client's socket. Writes status and
 * headers only when the answer is known good, keeps streams byte for byte, pings through silence, and
 * never lets a broken stream look like a finished one.
 */
import type { ServerResponse } from "node:http";
import { GatewayError } from "../errors.ts";
import type { AnswerHead, AnswerSink } from "../job-runtime/sample.ts";
import { BareJsonChunks, payloadForm } from "../openai/bare-json.ts";
import { EventBoundary } from "../openai/event-boundary.ts";
import { SseTail } from "../openai/sse-tail.ts";
import { findUsage, type TokenCounts } from "../openai/usage.ts";
import { terminalErrorEvent, writeError } from "./error-response.ts";

const ping = Buffer.from(": ping\n\n");
const doneEvent = Buffer.from("data: [DONE]\n\n");

export interface TurnAnswerOptions {
  readonly outgoing: ServerResponse;
  /** Headers every answer of this turn carries, errors included; asked for when they are written. */
  readonly headers: () => Readonly<Record<string, string>>;
  readonly pingMs: number;
  readonly doneMarker: "required" | "optional";
  /** The client reads again after a pause. */
  readonly onDrain: () => void;
  /** First body byte handed to the client. */
  readonly onFirstByte: () => void;
}

/** What the observers want to know when the turn is over. */
export interface AnswerSummary {
  readonly status: number;
  readonly bytesOut: number;
  /** Why the client got an error, or a terminal error event. */
  readonly error: GatewayError | undefined;
  /** The answer had begun when it failed. */
  readonly truncated: boolean;
  readonly usage: TokenCounts | undefined;
}

export class TurnAnswer implements AnswerSink {
  readonly #options: TurnAnswerOptions;
  readonly #outgoing: ServerResponse;
  #status = 499;
  #bytesOut = 0;
  #error: GatewayError | undefined;
  #truncated = false;
  #usage: TokenCounts | undefined;

  #tail: SseTail | undefined;
  #boundary: EventBoundary | undefined;
  #chunks: BareJsonChunks | undefined;
  #formKnown = false;
  #draining = false;
  #pingTimer: NodeJS.Timeout | undefined;
  #lastWriteAt = 0;

  constructor(options: TurnAnswerOptions) {
    this.#options = options;
    this.#outgoing = options.outgoing;
  }

  summary(): AnswerSummary {
    return {
      status: this.#status,
      bytesOut: this.#bytesOut,
      error: this.#error,
      truncated: this.#truncated,
      usage: this.#usage,
    };
  }

  /** The client is gone, or everything is said: no more pings. */
  stop(): void {
    clearTimeout(this.#pingTimer);
  }

  // AnswerSink

  whole(head: AnswerHead, body: Buffer): void {
    this.#usage = findUsage(body);
    this.#writeHead(head, { "content-length": String(body.length) });
    this.#countBytes(body);
    this.#outgoing.end(body);
  }

  begin(head: AnswerHead): void {
    this.#writeHead(head, { "cache-control": "no-cache", "x-accel-buffering": "no" });
    this.#tail = new SseTail();
    this.#boundary = new EventBoundary();
    this.#armPing(this.#options.pingMs);
  }

  write(bytes: Buffer): boolean {
    if (!this.#formKnown) this.#learnForm(bytes);
    const events = this.#chunks ? this.#wrapped(this.#chunks, bytes) : bytes;
    this.#tail?.push(events);
    const ready = this.#boundary?.push(events);
    return ready === undefined || ready.length === 0 || this.#send(ready);
  }

  end(): void {
    const missing = this.#missing();
    if (missing) {
      this.fail(missing);
      return;
    }
    this.stop();
    const rest = this.#boundary?.flush();
    if (rest) this.#send(rest);
    if (this.#chunks) this.#send(doneEvent);
    this.#outgoing.end();
  }

  fail(error: GatewayError): void {
    this.stop();
    this.#error = error;
    if (!this.#outgoing.headersSent && !this.#tail) {
      this.#status = error.status;
      for (const [name, value] of Object.entries(this.#options.headers())) {
        this.#outgoing.setHeader(name, value);
      }
      writeError(this.#outgoing, error);
      return;
    }
    this.#truncated = true;
    this.#usage ??= this.#tail?.ending().usage;
    // An unfinished event is of no use to the client; what is written ends between two events, unless
    // the event was too long to hold back: then a blank line ends it.
    if (this.#boundary?.clean === false) this.#send(Buffer.from("\n\n"));
    this.#send(terminalErrorEvent(error));
    this.#outgoing.end();
  }

  // shaping

  #learnForm(bytes: Buffer): void {
    const form = payloadForm(bytes);
    if (form === undefined) return;
    this.#formKnown = true;
    if (form === "bare-json") this.#chunks = new BareJsonChunks();
  }

  #wrapped(chunks: BareJsonChunks, bytes: Buffer): Buffer {
    try {
      return chunks.push(bytes);
    } catch (cause) {
      throw new GatewayError(
        "upstream_protocol",
        `The model's stream cannot be read: ${cause instanceof Error ? cause.message : "unknown"}.`,
        { cause },
      );
    }
  }

  /** Looks at the stream's last events: the error when it broke off instead of ending. */
  #missing(): GatewayError | undefined {
    const ending = this.#tail?.ending();
    this.#usage = ending?.usage;
    if (this.#chunks) {
      const whole = !this.#chunks.incomplete && (this.#chunks.sawDone || this.#chunks.finished);
      return whole ? undefined : truncated("a chunk that says why it finished");
    }
    // The model's own error event ends the stream as it is; a second one would only hide it.
    if (!ending || ending.done || ending.failed) return undefined;
    if (this.#options.doneMarker === "optional" && ending.finished && !ending.malformed) {
      return undefined;
    }
    return truncated("its end marker");
  }

  // the socket

  #writeHead(head: AnswerHead, more: Readonly<Record<string, string>>): void {
    this.#status = head.status;
    const headers: Record<string, string> = { ...this.#options.headers(), ...more };
    if (head.contentType !== "") headers["content-type"] = head.contentType;
    if (head.requestId !== undefined) headers["x-request-id"] = head.requestId;
    this.#outgoing.writeHead(head.status, headers);
  }

  #send(bytes: Buffer): boolean {
    this.#lastWriteAt = performance.now();
    this.#countBytes(bytes);
    if (this.#outgoing.write(bytes)) return true;
    if (!this.#draining) {
      this.#draining = true;
      this.#outgoing.once("drain", () => {
        this.#draining = false;
        this.#options.onDrain();
      });
    }
    return false;
  }

  #countBytes(bytes: Buffer): void {
    if (this.#bytesOut === 0) this.#options.onFirstByte();
    this.#bytesOut += bytes.length;
  }

  /** Writes only note the time; the timer looks how long the silence really was. */
  #armPing(delayMs: number): void {
    this.#pingTimer = setTimeout(() => {
      const { pingMs } = this.#options;
      const silentMs = performance.now() - this.#lastWriteAt;
      if (silentMs >= pingMs - 1) {
        // Only between events, and never onto a socket that is not being read.
        if (this.#boundary?.clean && !this.#draining) this.#send(ping);
        this.#armPing(pingMs);
      } else {
        this.#armPing(pingMs - silentMs);
      }
    }, delayMs);
  }
}

function truncated(what: string): GatewayError {
  return new GatewayError(
    "stream_truncated",
    `The model's stream ended without ${what}: the answer is incomplete. The turn may have been captured; it was not sent again.`,
  );
}
