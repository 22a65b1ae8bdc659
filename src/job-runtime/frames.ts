/**
 * `application/vnd.amazon.eventstream` bytes → whole, checked frames (service.md, "Event-stream framing").
 * Prelude (total length, headers length, CRC-32 of both), headers, payload, CRC-32 of the whole;
 * all big-endian. A frame that lies inside one chunk is handed out where it lies, without a copy.
 *
 * Own code because it is the hot path: @smithy/eventstream-codec splits chunks by allocating whatever
 * length a frame declares, unchecked. The tests hold this to that library and to AWS's vectors.
 */
import { GatewayError } from "../errors.ts";
import { crc32 } from "./crc32.ts";

/** [docs] AWS's limit for one frame; a longer declared length is refused before anything is kept for it. */
export const maxFrameBytes = 24 * 1024 * 1024;

const preludeBytes = 12;
const checksumBytes = 4;
const minFrameBytes = preludeBytes + checksumBytes;
const crcBytesOfPrelude = 8;

/**
 * Where one frame's parts lie in `bytes`. The same object for every frame of a splitter: a stream has
 * hundreds of them, and whoever wants to keep one copies what it needs.
 */
export interface Frame {
  readonly bytes: Buffer;
  /** The same bytes, for reading numbers. */
  readonly view: DataView;
  /** The frame's first byte. */
  readonly start: number;
  /** The undecoded header block is `headersAt` to `payloadAt`. */
  readonly headersAt: number;
  /** The payload is `payloadAt` to `payloadEnd`. */
  readonly payloadAt: number;
  readonly payloadEnd: number;
  /** Behind the frame's last byte. */
  readonly end: number;
}

type MutableFrame = { -readonly [Part in keyof Frame]: Frame[Part] };

/** Cuts a byte stream into frames. Feed it every chunk, in order; ask `pendingBytes` at the end. */
export class FrameSplitter {
  /** Bytes of an incomplete frame, in order. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** The pending frame's declared length; 0 until its prelude is complete. */
  #expectedBytes = 0;
  readonly #frame: MutableFrame = {
    bytes: Buffer.alloc(0),
    view: new DataView(new ArrayBuffer(0)),
    start: 0,
    headersAt: 0,
    payloadAt: 0,
    payloadEnd: 0,
    end: 0,
  };

  /** More than 0 after the last chunk: the stream ended inside a frame. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Calls `onFrame` for each frame completed by `chunk`. Throws GatewayError `upstream_protocol` on a
   * checksum or a length that cannot be right; the splitter is of no use afterwards.
   */
  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    let offset = this.#pendingBytes > 0 ? this.#completePending(chunk, onFrame) : 0;
    const view = this.#read(chunk);
    while (chunk.length - offset >= preludeBytes) {
      const length = frameLength(view, offset);
      if (chunk.length - offset < length) {
        this.#expectedBytes = length;
        break;
      }
      onFrame(this.#check(offset, length));
      offset += length;
    }
    if (offset < chunk.length) this.#keep(chunk.subarray(offset));
  }

  /** Adds to the incomplete frame; returns how much of `chunk` it took. */
  #completePending(chunk: Buffer, onFrame: (frame: Frame) => void): number {
    let offset = 0;
    if (this.#expectedBytes === 0) {
      offset = Math.min(chunk.length, preludeBytes - this.#pendingBytes);
      this.#keep(chunk.subarray(0, offset));
      if (this.#pendingBytes < preludeBytes) return offset;
      const prelude = Buffer.concat(this.#pending, this.#pendingBytes);
      this.#expectedBytes = frameLength(this.#read(prelude), 0);
    }
    const end = Math.min(chunk.length, offset + this.#expectedBytes - this.#pendingBytes);
    if (end > offset) this.#keep(chunk.subarray(offset, end));
    if (this.#pendingBytes === this.#expectedBytes) {
      const bytes = Buffer.concat(this.#pending, this.#pendingBytes);
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#expectedBytes = 0;
      this.#read(bytes);
      onFrame(this.#check(0, bytes.length));
    }
    return end;
  }

  #keep(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
  }

  /** The bytes the next frames lie in. */
  #read(bytes: Buffer): DataView {
    this.#frame.bytes = bytes;
    this.#frame.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return this.#frame.view;
  }

  #check(start: number, length: number): Frame {
    const frame = this.#frame;
    const payloadEnd = start + length - checksumBytes;
    if (crc32(frame.view, start, payloadEnd) !== frame.view.getUint32(payloadEnd)) {
      throw frameError("a frame does not match its checksum");
    }
    frame.start = start;
    frame.headersAt = start + preludeBytes;
    frame.payloadAt = frame.headersAt + frame.view.getUint32(start + 4);
    frame.payloadEnd = payloadEnd;
    frame.end = start + length;
    return frame;
  }
}

/** Checks the prelude at `offset` and returns the frame's declared length. */
function frameLength(view: DataView, offset: number): number {
  const length = view.getUint32(offset);
  const headersLength = view.getUint32(offset + 4);
  const checksum = view.getUint32(offset + crcBytesOfPrelude);
  if (crc32(view, offset, offset + crcBytesOfPrelude) !== checksum) {
    throw frameError("a frame's prelude does not match its checksum");
  }
  if (length < minFrameBytes || headersLength > length - minFrameBytes) {
    throw frameError(`a frame declares ${length} bytes with ${headersLength} bytes of headers`);
  }
  if (length > maxFrameBytes) {
    throw frameError(`a frame declares ${length} bytes, more than the ${maxFrameBytes} allowed`);
  }
  return length;
}

function frameError(what: string): GatewayError {
  return new GatewayError(
    "upstream_protocol",
    `The service's event stream is damaged: ${what}. The turn may have been captured; it was not sent again.`,
  );
}
