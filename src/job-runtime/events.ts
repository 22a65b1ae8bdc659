/**
 * Frames → what they mean: a PayloadPart's bytes, or an exception (service.md, "Protocol").
 * Every PayloadPart of a stream carries the same header block, so the block is decoded once by
 * @smithy/eventstream-codec and compared from then on.
 */
import { EventStreamCodec } from "@smithy/eventstream-codec";
import { GatewayError } from "../errors.ts";
import { serviceError } from "./errors.ts";
import type { Frame } from "./frames.ts";

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString("utf8"),
  (text) => Buffer.from(text, "utf8"),
);

/** Decodes the frames of one stream. */
export class EventDecoder {
  /** The header block last seen to mean "PayloadPart". */
  #payloadPartHeaders: Buffer | undefined;

  /**
   * The payload of a PayloadPart; `undefined` for an event of another kind, which is passed over as
   * the SDKs do. Throws GatewayError for exception and error frames.
   */
  payload(frame: Frame): Buffer | undefined {
    if (this.#payloadPartHeaders?.equals(frame.headers)) return frame.payload;
    const headers = decodeHeaders(frame);
    const messageType = headers[":message-type"] ?? "event";
    if (messageType === "event") {
      if (headers[":event-type"] !== "PayloadPart") return undefined;
      this.#payloadPartHeaders = Buffer.from(frame.headers);
      return frame.payload;
    }
    if (messageType === "exception") {
      const type = headers[":exception-type"] ?? "UnknownException";
      throw streamError(type, exceptionMessage(frame.payload) ?? type);
    }
    const code = headers[":error-code"] ?? "UnknownError";
    throw streamError(code, headers[":error-message"] ?? code);
  }
}

function decodeHeaders(frame: Frame): Record<string, string> {
  try {
    const { headers } = codec.decode(frame.bytes);
    const text: Record<string, string> = {};
    for (const [name, header] of Object.entries(headers)) text[name] = String(header.value);
    return text;
  } catch (cause) {
    throw new GatewayError(
      "upstream_protocol",
      "The service's event stream is damaged: a frame's headers cannot be read. The turn may have been captured; it was not sent again.",
      { cause },
    );
  }
}

/** [model] The payload of an exception frame is `{"Message": …}`; `message` is seen as well. */
function exceptionMessage(payload: Buffer): string | undefined {
  try {
    const parsed: unknown = JSON.parse(payload.toString("utf8"));
    if (typeof parsed !== "object" || parsed === null) return undefined;
    const { Message, message } = parsed as { Message?: unknown; message?: unknown };
    const text = Message ?? message;
    return typeof text === "string" ? text : undefined;
  } catch {
    return payload.length > 0 ? payload.toString("utf8").slice(0, 1024) : undefined;
  }
}

/** [model] ModelStreamError and InternalStreamFailure are the sibling service's; the rest are the operations' own. */
function streamError(type: string, message: string): GatewayError {
  return serviceError({ type, message, status: undefined, requestId: undefined });
}
