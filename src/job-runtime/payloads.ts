/** Event-stream chunks → the model's bytes: the payloads of one chunk's PayloadParts, as one buffer. */
import { EventDecoder } from "./events.ts";
import { type Frame, FrameSplitter } from "./frames.ts";

const nothing = Buffer.alloc(0);

export interface DecodedChunk {
  /** Empty where the chunk completed no payload. */
  readonly payload: Buffer;
  /** What ended the stream behind `payload`: damage, an exception or an error frame. */
  readonly failure: unknown;
}

export class PayloadDecoder {
  readonly #splitter = new FrameSplitter();
  readonly #events = new EventDecoder();
  /** The only payload so far, a view; a second one makes a buffer for all. */
  #first: Buffer | undefined;
  #joined: Buffer | undefined;
  #length = 0;
  #capacity = 0;

  /** More than 0 after the last chunk: the stream ended inside a frame. */
  get pendingBytes(): number {
    return this.#splitter.pendingBytes;
  }

  /** Never throws: what came before the bad frame is good and belongs to the client. */
  decode(chunk: Buffer): DecodedChunk {
    this.#first = undefined;
    this.#joined = undefined;
    this.#length = 0;
    // Payloads are shorter than their frames, and those lie in this chunk and what was left before it.
    this.#capacity = chunk.length + this.#splitter.pendingBytes;
    let failure: unknown;
    try {
      this.#splitter.push(chunk, this.#take);
    } catch (error) {
      failure = error;
    }
    return { payload: this.#taken(), failure };
  }

  #taken(): Buffer {
    return this.#joined?.subarray(0, this.#length) ?? this.#first ?? nothing;
  }

  readonly #take = (frame: Frame): void => {
    if (!this.#events.isPayloadPart(frame) || frame.payloadEnd === frame.payloadAt) return;
    const { bytes, payloadAt, payloadEnd } = frame;
    if (this.#first === undefined) {
      this.#first = bytes.subarray(payloadAt, payloadEnd);
      return;
    }
    if (this.#joined === undefined) {
      this.#joined = Buffer.allocUnsafeSlow(this.#capacity);
      this.#length = this.#first.copy(this.#joined);
    }
    this.#length += bytes.copy(this.#joined, this.#length, payloadAt, payloadEnd);
  };
}
