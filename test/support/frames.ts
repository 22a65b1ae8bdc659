/** Event-stream frames for tests, encoded by AWS's own library. */
import { EventStreamCodec } from "@smithy/eventstream-codec";

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString("utf8"),
  (text) => Buffer.from(text, "utf8"),
);

export function encodeEvent(headers: Readonly<Record<string, string>>, payload: Buffer): Buffer {
  return Buffer.from(
    codec.encode({
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name, { type: "string" as const, value }]),
      ),
      body: payload,
    }),
  );
}

export function payloadPart(payload: Buffer): Buffer {
  return encodeEvent(
    {
      ":message-type": "event",
      ":event-type": "PayloadPart",
      ":content-type": "application/octet-stream",
    },
    payload,
  );
}

export function encodeException(type: string, body: object): Buffer {
  return encodeEvent(
    {
      ":message-type": "exception",
      ":exception-type": type,
      ":content-type": "application/json",
    },
    Buffer.from(JSON.stringify(body)),
  );
}

/** Pieces of at most `bytes` bytes each. */
export function slice(whole: Buffer, bytes: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < whole.length; at += bytes) pieces.push(whole.subarray(at, at + bytes));
  return pieces;
}
