import { crc32 } from "node:zlib";
import { EventStreamCodec } from "@smithy/eventstream-codec";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GatewayError } from "../../src/errors.ts";
import { crc32 as crc32OfView } from "../../src/job-runtime/crc32.ts";
import { FrameSplitter, maxFrameBytes } from "../../src/job-runtime/frames.ts";
import { PayloadDecoder } from "../../src/job-runtime/payloads.ts";
import awsEventStreamVectors from "../fixtures/event-stream/vectors.json" with { type: "json" };
import { encodeEvent, encodeException, payloadPart, slice } from "../support/frames.ts";

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString("utf8"),
  (text) => Buffer.from(text, "utf8"),
);

/** Everything a stream of chunks decodes to, as the corridor would pass it on. */
function decodeAll(chunks: readonly Buffer[]): { text: Buffer; pendingBytes: number } {
  const decoder = new PayloadDecoder();
  const payloads: Buffer[] = [];
  for (const chunk of chunks) {
    // The decoder may overwrite what it is given; the slices of a test share their bytes.
    const decoded = decoder.decode(Buffer.from(chunk));
    payloads.push(...decoded.payloads.map((payload) => Buffer.from(payload)));
    const { failure } = decoded;
    if (failure !== undefined) throw failure;
  }
  return { text: Buffer.concat(payloads), pendingBytes: decoder.pendingBytes };
}

describe("frames", () => {
  test("any slicing of any bytes through frames and chunks comes out byte for byte", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 2000 }),
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 400 }),
        (bytes, payloadBytes, chunkBytes) => {
          const text = Buffer.from(bytes);
          const wire = Buffer.concat(slice(text, payloadBytes).map(payloadPart));
          const decoded = decodeAll(slice(wire, chunkBytes));
          expect(decoded.text.equals(text)).toBe(true);
          expect(decoded.pendingBytes).toBe(0);
        },
      ),
    );
  });

  test("one-byte payloads in one-byte chunks keep multi-byte characters whole", () => {
    const text = Buffer.from('data: {"content":"héllo 🌍 日本"}\n\n');
    const wire = Buffer.concat(slice(text, 1).map(payloadPart));
    expect(decodeAll(slice(wire, 1)).text.toString("utf8")).toBe(text.toString("utf8"));
  });

  test("no mutated frame makes the decoder throw anything but its own error, or give bytes unlike the original", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.integer({ min: 1, max: 64 }),
        (payload, at, flip, chunkBytes) => {
          const frame = payloadPart(Buffer.from(payload));
          const position = at % frame.length;
          frame.writeUInt8((frame[position] ?? 0) ^ flip, position);
          try {
            // A flipped length may make the splitter wait for more: then nothing comes out.
            expect(decodeAll(slice(frame, chunkBytes)).text.length).toBe(0);
          } catch (error) {
            expect(error).toBeInstanceOf(GatewayError);
            expect((error as GatewayError).code).toBe("upstream_protocol");
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("arbitrary bytes are refused with the decoder's own error or wait for more", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        try {
          decodeAll([Buffer.from(bytes)]);
          expect(true).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(GatewayError);
        }
      }),
    );
  });

  test("a declared length beyond the limit is refused at its prelude, before anything is kept for it", () => {
    const prelude = preludeDeclaring(maxFrameBytes + 1, 0);
    expect(() => decodeAll([prelude])).toThrow(
      `a frame declares ${maxFrameBytes + 1} bytes, more than the ${maxFrameBytes} allowed`,
    );
  });

  test("headers longer than their frame are refused", () => {
    expect(() => decodeAll([preludeDeclaring(100, 90)])).toThrow(
      "a frame declares 100 bytes with 90 bytes of headers",
    );
  });

  test("a stream that ends inside a frame says how much is pending", () => {
    const frame = payloadPart(Buffer.from("data: x\n\n"));
    expect(decodeAll([frame.subarray(0, frame.length - 3)]).pendingBytes).toBe(frame.length - 3);
  });

  test("a chunk's only frame is handed out without a copy", () => {
    const frame = payloadPart(Buffer.from("data: x\n\n"));
    expect(new PayloadDecoder().decode(frame).payloads[0]?.buffer).toBe(frame.buffer);
  });

  test.each(awsEventStreamVectors.positive)(
    "AWS's vector $name splits into its parts",
    (vector) => {
      const splitter = new FrameSplitter();
      const seen: { headers: number; payload: string }[] = [];
      splitter.push(Buffer.from(vector.encoded, "base64"), (frame) => {
        const payload = frame.bytes.subarray(frame.payloadAt, frame.payloadEnd);
        expect(codec.decode(frame.bytes.subarray(frame.start, frame.end)).body).toEqual(
          new Uint8Array(payload),
        );
        seen.push({
          headers: frame.payloadAt - frame.headersAt,
          payload: payload.toString("utf8"),
        });
      });
      expect(seen).toEqual([{ headers: vector.headersBytes, payload: vector.payload }]);
    },
  );

  test.each(awsEventStreamVectors.negative)("AWS's vector $name is refused", (vector) => {
    expect(() => decodeAll([Buffer.from(vector.encoded, "base64")])).toThrow(vector.error);
  });
});

describe("the checksum", () => {
  test("is zlib's for any piece of any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(5000), fc.nat(5000), (bytes, a, b) => {
        const [start, end] = [a % (bytes.length + 1), b % (bytes.length + 1)].sort(
          (x, y) => x - y,
        ) as [number, number];
        // A view into the middle of something larger, as a chunk is.
        const larger = Buffer.concat([Buffer.from("xyz"), bytes]);
        const view = new DataView(larger.buffer, larger.byteOffset + 3, bytes.length);
        expect(crc32OfView(view, start, end)).toBe(crc32(bytes.subarray(start, end)));
      }),
    );
  });
});

describe("events", () => {
  test("an exception frame is thrown as the service's error, with its message", () => {
    const frame = encodeException("ModelStreamError", { Message: "the model fell over" });
    expect(() => decodeAll([frame])).toThrow(
      expect.objectContaining({
        code: "upstream_stream_error",
        serviceType: "ModelStreamError",
        message: "ModelStreamError: the model fell over",
      }),
    );
  });

  test.each([
    ["ValidationException", 400],
    ["ThrottlingException", 429],
    ["AccessDeniedException", 403],
    ["InternalServiceError", 500],
  ])("an exception frame %s stands for the HTTP status %i", (type, status) => {
    const frame = encodeException(type, { message: "no" });
    expect(() => decodeAll([frame])).toThrow(expect.objectContaining({ status }));
  });

  test("an error frame is thrown with its code and message", () => {
    const frame = encodeEvent(
      { ":message-type": "error", ":error-code": "500", ":error-message": "broken inside" },
      Buffer.alloc(0),
    );
    expect(() => decodeAll([frame])).toThrow("500: broken inside");
  });

  test("events of kinds nobody knows yet are passed over", () => {
    const other = encodeEvent(
      { ":message-type": "event", ":event-type": "Heartbeat" },
      Buffer.from("x"),
    );
    const wire = [payloadPart(Buffer.from("a")), other, payloadPart(Buffer.from("b"))];
    expect(decodeAll(wire).text.toString()).toBe("ab");
  });

  test("what came before a damaged frame in the same chunk is delivered first", () => {
    const bad = payloadPart(Buffer.from("b"));
    bad.writeUInt8((bad[bad.length - 1] ?? 0) ^ 1, bad.length - 1);
    const { payloads, failure } = new PayloadDecoder().decode(
      Buffer.concat([payloadPart(Buffer.from("a")), bad]),
    );
    expect(Buffer.concat(payloads).toString()).toBe("a");
    expect(failure).toMatchObject({
      message: expect.stringContaining("a frame does not match its checksum"),
    });
  });
});

function preludeDeclaring(length: number, headersLength: number): Buffer {
  const frame = encodeEvent({}, Buffer.alloc(0));
  const prelude = Buffer.from(frame.subarray(0, 12));
  prelude.writeUInt32BE(length, 0);
  prelude.writeUInt32BE(headersLength, 4);
  prelude.writeUInt32BE(crc32(prelude.subarray(0, 8)), 8);
  return prelude;
}
