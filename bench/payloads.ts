/** What goes over the wire: the request, the answer, and the same stream as SSE text and as frames. */
import { EventStreamCodec } from "@smithy/eventstream-codec";

export type CallKind = "json" | "stream";

const requestBytes = 2_400;
const responseBytes = 1_200;
const streamEvents = 200;

const created = 1_760_000_000;
const model = "policy";

const words =
  "the road was empty and a light rain had begun to fall so she counted every gate twice ".split(
    " ",
  );

/** One stream in both of its forms. */
export interface StreamPayload {
  /** SSE text, one event each, the last `data: [DONE]`. */
  readonly events: readonly Buffer[];
  /** The same, one PayloadPart frame per event. */
  readonly eventFrames: readonly Buffer[];
  readonly sse: Buffer;
  readonly frames: Buffer;
}

export interface Payloads extends StreamPayload {
  readonly request: Record<CallKind, Buffer>;
  readonly response: Buffer;
}

/** The payloads of the timed runs: a stream of 200 events and [DONE]. */
export function createPayloads(): Payloads {
  return {
    request: { json: createRequest(false), stream: createRequest(true) },
    response: createResponse(),
    ...createStream(streamEvents),
  };
}

/** A stream of `count` events and [DONE]. */
export function createStream(count: number): StreamPayload {
  const events = [...createChunks(count), "[DONE]"].map((data) => Buffer.from(`data: ${data}\n\n`));
  const eventFrames = events.map(createFrame);
  return { events, eventFrames, sse: Buffer.concat(events), frames: Buffer.concat(eventFrames) };
}

function createRequest(stream: boolean): Buffer {
  const request = (text: string) =>
    JSON.stringify({
      model,
      messages: [
        { role: "system", content: "You are a careful agent. Use the tools you are given." },
        { role: "user", content: text },
      ],
      temperature: 0.7,
      max_tokens: 512,
      ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
    });
  return Buffer.from(request(prose(requestBytes - request("").length)));
}

function createResponse(): Buffer {
  const response = (content: string) =>
    JSON.stringify({
      id: "chatcmpl-bench0001",
      object: "chat.completion",
      created,
      model,
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
      usage: { prompt_tokens: 512, completion_tokens: 230, total_tokens: 742 },
    });
  return Buffer.from(response(prose(responseBytes - response("").length)));
}

/** A first chunk with the role, tokens, the reason to stop, and the usage last. */
function createChunks(count: number): string[] {
  const chunk = (fields: object) =>
    JSON.stringify({
      id: "chatcmpl-bench0001",
      object: "chat.completion.chunk",
      created,
      model,
      ...fields,
    });
  const delta = (content: object, reason: string | null = null) =>
    chunk({ choices: [{ index: 0, delta: content, finish_reason: reason }] });
  const usage = { prompt_tokens: 512, completion_tokens: 197, total_tokens: 709 };
  return [
    delta({ role: "assistant", content: "" }),
    ...Array.from({ length: count - 3 }, (_, index) =>
      delta({ content: ` ${words[index % words.length]}` }),
    ),
    delta({}, "stop"),
    chunk({ choices: [], usage }),
  ];
}

function prose(length: number): string {
  return words
    .join(" ")
    .repeat(Math.ceil(length / 60))
    .slice(0, length);
}

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString("utf8"),
  (text) => Buffer.from(text, "utf8"),
);

/** One PayloadPart event of `application/vnd.amazon.eventstream`. */
function createFrame(payload: Buffer): Buffer {
  const string = (value: string) => ({ type: "string" as const, value });
  return Buffer.from(
    codec.encode({
      headers: {
        ":message-type": string("event"),
        ":event-type": string("PayloadPart"),
        ":content-type": string("application/octet-stream"),
      },
      body: payload,
    }),
  );
}
