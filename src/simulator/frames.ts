/**
 * Event-stream frames (`application/vnd.amazon.eventstream`), written from the framing in service.md:
 * prelude (total length, headers length, CRC-32 of both), headers, payload, CRC-32 of all before it.
 * The ways to break one are here too, since they need the same offsets.
 */
import { crc32 } from "node:zlib";

export const eventStreamContentType = "application/vnd.amazon.eventstream";

const preludeBytes = 12;
const crcBytes = 4;
/** The header value type of a string. */
const stringType = 7;

/** One frame. Header values are strings, the only type this service uses. */
export function encodeFrame(
  headers: Readonly<Record<string, string>>,
  payload: Uint8Array,
): Buffer<ArrayBuffer> {
  const encodedHeaders = Buffer.concat(Object.entries(headers).map(encodeHeader));
  const total = preludeBytes + encodedHeaders.length + payload.length + crcBytes;
  const frame = Buffer.alloc(total);
  frame.writeUInt32BE(total, 0);
  frame.writeUInt32BE(encodedHeaders.length, 4);
  frame.writeUInt32BE(crc32(frame.subarray(0, 8)), 8);
  encodedHeaders.copy(frame, preludeBytes);
  frame.set(payload, preludeBytes + encodedHeaders.length);
  frame.writeUInt32BE(crc32(frame.subarray(0, total - crcBytes)), total - crcBytes);
  return frame;
}

/** A slice of the model's bytes [model]. */
export function payloadPartFrame(payload: Uint8Array): Buffer<ArrayBuffer> {
  return encodeFrame(payloadPartHeaders, payload);
}

const payloadPartHeaders = {
  ":event-type": "PayloadPart",
  ":content-type": "application/octet-stream",
  ":message-type": "event",
};

/** A modelled exception in the stream; `type` is e.g. `ModelStreamError` [inferred from SageMaker Runtime]. */
export function exceptionFrame(type: string, message: string): Buffer<ArrayBuffer> {
  return encodeFrame(
    {
      ":exception-type": type,
      ":content-type": "application/json",
      ":message-type": "exception",
    },
    Buffer.from(JSON.stringify({ Message: message })),
  );
}

/** An unmodelled error in the stream: code and message are headers, the payload is empty [docs]. */
export function errorFrame(code: string, message: string): Buffer<ArrayBuffer> {
  return encodeFrame(
    { ":error-code": code, ":error-message": message, ":message-type": "error" },
    new Uint8Array(),
  );
}

/** A copy of the frame in which one checksum is wrong; everything else stays right. */
export function withCorruptCrc(
  frame: Uint8Array,
  part: "prelude" | "message",
): Buffer<ArrayBuffer> {
  const copy = Buffer.from(frame);
  const offset = part === "prelude" ? 8 : copy.length - crcBytes;
  copy.writeUInt32BE((copy.readUInt32BE(offset) ^ 0xff) >>> 0, offset);
  // The message's checksum covers the prelude's, so it is made right again: one fault at a time.
  if (part === "prelude") {
    copy.writeUInt32BE(crc32(copy.subarray(0, copy.length - crcBytes)), copy.length - crcBytes);
  }
  return copy;
}

/** A prelude, its checksum right, that declares a frame of `totalBytes`; a few bytes follow it and no more. */
export function oversizeFrame(totalBytes: number): Buffer<ArrayBuffer> {
  const start = Buffer.alloc(preludeBytes + 16);
  start.writeUInt32BE(totalBytes, 0);
  start.writeUInt32BE(0, 4);
  start.writeUInt32BE(crc32(start.subarray(0, 8)), 8);
  return start;
}

function encodeHeader([name, value]: [string, string]): Buffer {
  const nameBytes = Buffer.from(name, "utf8");
  const valueBytes = Buffer.from(value, "utf8");
  const header = Buffer.alloc(1 + nameBytes.length + 3 + valueBytes.length);
  header.writeUInt8(nameBytes.length, 0);
  nameBytes.copy(header, 1);
  header.writeUInt8(stringType, 1 + nameBytes.length);
  header.writeUInt16BE(valueBytes.length, 2 + nameBytes.length);
  valueBytes.copy(header, 4 + nameBytes.length);
  return header;
}
