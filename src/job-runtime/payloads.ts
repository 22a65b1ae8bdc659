/**
 * Event-stream chunks → the model's bytes. The payloads of a chunk's frames are moved together inside the
 * chunk itself: a buffer of its own for them, tens of kilobytes per read, made the garbage collector
 * the largest cost of a stream. The chunk is the caller's to give away: nobody reads it after this.
 */
import { EventDecoder } from "./events.ts";
import { type Frame, FrameSplitter } from "./frames.ts";

export interface DecodedChunk {
  /** In order: at most one for a frame that had begun in an earlier chunk, and one for the rest. */
  readonly payloads: readonly Buffer[];
  /** What ended the stream behind them: damage, an exception or an error frame. */
  readonly failure: unknown;
}

export class PayloadDecoder {
  readonly #splitter = new FrameSplitter();
  readonly #events = new EventDecoder();
  #payloads: Buffer[] = [];
  /** The buffer in which payloads are moved together, and where they lie in it. */
  #bytes: Buffer | undefined;
  #start = 0;
  #end = 0;

  /** More than 0 after the last chunk: the stream ended inside a frame. */
  get pendingBytes(): number {
    return this.#splitter.pendingBytes;
  }

  /** Overwrites parts of `chunk`. Never throws: what came before a bad frame is good and belongs to the client. */
  decode(chunk: Buffer): DecodedChunk {
    this.#payloads = [];
    this.#bytes = undefined;
    let failure: unknown;
    try {
      this.#splitter.push(chunk, this.#take);
    } catch (error) {
      failure = error;
    }
    this.#finish();
    return { payloads: this.#payloads, failure };
  }

  readonly #take = (frame: Frame): void => {
    if (!this.#events.isPayloadPart(frame) || frame.payloadEnd === frame.payloadAt) return;
    const { bytes, payloadAt, payloadEnd } = frame;
    if (this.#bytes !== bytes) {
      this.#finish();
      this.#bytes = bytes;
      this.#start = payloadAt;
      this.#end = payloadEnd;
      return;
    }
    // Downwards only, over frames that are done with: what is still to be read lies behind.
    bytes.copyWithin(this.#end, payloadAt, payloadEnd);
    this.#end += payloadEnd - payloadAt;
  };

  #finish(): void {
    if (this.#bytes) this.#payloads.push(this.#bytes.subarray(this.#start, this.#end));
  }
}
