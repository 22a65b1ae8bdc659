/**
 * `application/vnd.amazon.eventstream` bytes → whole, checked frames (service.md, "Event-stream framing").
 * Prelude (total length, headers length, CRC-32 of both), headers, payload, CRC-32 of the whole;
 * all big-endian. A frame that lies inside one chunk is handed out as a view, without a copy.
 *
 * Own code because it is the hot path: @smithy/eventstream-codec splits chunks by allocating whatever
 * length a frame declares, unchecked. The tests hold this to that library and to AWS's vectors.
 */
import { crc32 } from "node:zlib";
import { GatewayError } from "../errors.ts";

/** [docs] AWS's limit for one frame; a longer declared length is refused before anything is kept for it. */
export const maxFrameBytes = 24 * 1024 * 1024;

const preludeBytes = 12;
const checksumBytes = 4;
const minFrameBytes = preludeBytes + checksumBytes;
const crcBytesOfPrelude = 8;

/** One frame's parts, views into the received bytes: valid as long as the caller keeps them. */
export interface Frame {
  /** The undecoded header block. */
  readonly headers: Buffer;
  readonly payload: Buffer;
  /** The frame whole, for decoders that want it so. */
  readonly bytes: Buffer;
}

/** Cuts a byte stream into frames. Feed it every chunk, in order; ask `pendingBytes` at the end. */
export class FrameSplitter {
  /** Bytes of an incomplete frame, in order. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** The pending frame's declared length; 0 until its prelude is complete. */
  #expectedBytes = 0;

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
    while (chunk.length - offset >= preludeBytes) {
      const length = frameLength(chunk, offset);
      if (chunk.length - offset < length) {
        this.#expectedBytes = length;
        break;
      }
      onFrame(parseFrame(chunk.subarray(offset, offset + length)));
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
      this.#expectedBytes = frameLength(Buffer.concat(this.#pending, this.#pendingBytes), 0);
    }
    const end = Math.min(chunk.length, offset + this.#expectedBytes - this.#pendingBytes);
    if (end > offset) this.#keep(chunk.subarray(offset, end));
    if (this.#pendingBytes === this.#expectedBytes) {
      const frame = Buffer.concat(this.#pending, this.#pendingBytes);
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#expectedBytes = 0;
      onFrame(parseFrame(frame));
    }
    return end;
  }

  #keep(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
  }
}

/** Checks the prelude at `offset` and returns the frame's declared length. */
function frameLength(chunk: Buffer, offset: number): number {
  const length = chunk.readUInt32BE(offset);
  const headersLength = chunk.readUInt32BE(offset + 4);
  const checksum = chunk.readUInt32BE(offset + crcBytesOfPrelude);
  if (crc32(chunk.subarray(offset, offset + crcBytesOfPrelude)) !== checksum) {
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

function parseFrame(bytes: Buffer): Frame {
  const checksumAt = bytes.length - checksumBytes;
  if (crc32(bytes.subarray(0, checksumAt)) !== bytes.readUInt32BE(checksumAt)) {
    throw frameError("a frame does not match its checksum");
  }
  const payloadAt = preludeBytes + bytes.readUInt32BE(4);
  return {
    headers: bytes.subarray(preludeBytes, payloadAt),
    payload: bytes.subarray(payloadAt, checksumAt),
    bytes,
  };
}

function frameError(what: string): GatewayError {
  return new GatewayError(
    "upstream_protocol",
    `The service's event stream is damaged: ${what}. The turn may have been captured; it was not sent again.`,
  );
}
