/** Frames out of bytes, by AWS's own codec, which checks both checksums. */
import { EventStreamCodec } from "@smithy/eventstream-codec";

export interface ReadFrame {
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
  readonly text: string;
}

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes).toString("utf8"),
  (text) => Buffer.from(text, "utf8"),
);

/** Every frame in the bytes; throws when one is broken or cut. */
export function readFrames(bytes: Uint8Array): ReadFrame[] {
  const frames: ReadFrame[] = [];
  for (let from = 0; from < bytes.length; ) {
    const length = new DataView(bytes.buffer, bytes.byteOffset + from).getUint32(0);
    if (length < 16 || from + length > bytes.length) throw new Error("A frame is cut short.");
    const message = codec.decode(bytes.subarray(from, from + length));
    const headers = Object.entries(message.headers).map(([name, header]) => [
      name,
      String(header.value),
    ]);
    frames.push({
      headers: Object.fromEntries(headers),
      payload: message.body,
      text: Buffer.from(message.body).toString("utf8"),
    });
    from += length;
  }
  return frames;
}

/** All payloads joined, as text. */
export function payloadText(bytes: Uint8Array): string {
  return Buffer.concat(readFrames(bytes).map((frame) => frame.payload)).toString("utf8");
}
