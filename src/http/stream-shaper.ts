/**
 * The model's stream → what a client may be given: bytes as they are, held back only to whole events;
 * bare JSON chunks wrapped; and, at the end, whether it really was one.
 */
import { GatewayError } from "../errors.ts";
import { BareJsonChunks, payloadForm } from "../openai/bare-json.ts";
import { EventBoundary } from "../openai/event-boundary.ts";
import { SseTail } from "../openai/sse-tail.ts";
import type { TokenCounts } from "../openai/usage.ts";

const doneEvent = Buffer.from("data: [DONE]\n\n");

/** How a stream that its sender ended really ended. */
export interface StreamEnding {
  /** The last bytes for the client. */
  readonly rest: Buffer | undefined;
  /** It broke off instead of ending. */
  readonly missing: GatewayError | undefined;
}

export class StreamShaper {
  readonly #doneMarker: "required" | "optional";
  readonly #tail = new SseTail();
  readonly #boundary = new EventBoundary();
  #chunks: BareJsonChunks | undefined;
  #formKnown = false;
  #usage: TokenCounts | undefined;

  constructor(doneMarker: "required" | "optional") {
    this.#doneMarker = doneMarker;
  }

  /** Everything handed out so far ends between two events: a ping or an error event can follow. */
  get betweenEvents(): boolean {
    return this.#boundary.clean;
  }

  /** What can be written now; `undefined` while an event is unfinished. Throws `upstream_protocol`. */
  push(bytes: Buffer): Buffer | undefined {
    if (!this.#formKnown) this.#learnForm(bytes);
    const events = this.#chunks ? wrapped(this.#chunks, bytes) : bytes;
    this.#tail.push(events);
    const ready = this.#boundary.push(events);
    return ready === undefined || ready.length === 0 ? undefined : ready;
  }

  /** To be asked once, after the last byte. */
  end(): StreamEnding {
    const missing = this.#missing();
    if (missing) return { rest: undefined, missing };
    const rest = this.#boundary.flush();
    return { rest: this.#chunks ? doneEvent : rest, missing: undefined };
  }

  /** Tokens the stream reported; asked at its end, however that came. */
  usage(): TokenCounts | undefined {
    this.#usage ??= this.#tail.ending().usage;
    return this.#usage;
  }

  #learnForm(bytes: Buffer): void {
    const form = payloadForm(bytes);
    if (form === undefined) return;
    this.#formKnown = true;
    if (form === "bare-json") this.#chunks = new BareJsonChunks();
  }

  #missing(): GatewayError | undefined {
    const ending = this.#tail.ending();
    this.#usage = ending.usage;
    if (this.#chunks) {
      const whole = !this.#chunks.incomplete && (this.#chunks.sawDone || this.#chunks.finished);
      return whole ? undefined : truncated("a chunk that says why it finished");
    }
    // The model's own error event ends the stream as it is; a second one would only hide it.
    if (ending.done || ending.failed) return undefined;
    if (this.#doneMarker === "optional" && ending.finished && !ending.malformed) return undefined;
    return truncated("its end marker");
  }
}

function wrapped(chunks: BareJsonChunks, bytes: Buffer): Buffer {
  try {
    return chunks.push(bytes);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : "unknown";
    throw new GatewayError("upstream_protocol", `The model's stream cannot be read: ${why}.`, {
      cause,
    });
  }
}

function truncated(what: string): GatewayError {
  return new GatewayError(
    "stream_truncated",
    `The model's stream ended without ${what}: the answer is incomplete. The turn may have been captured; it was not sent again.`,
  );
}
