/** From the model's SSE events to the units a stream is sent in: frames, or plain bytes. Pure. */
import { eventStreamContentType, payloadPartFrame } from "./frames.ts";

/**
 * How a stream goes over the wire. `eventstream`: SSE text in PayloadPart frames; `sse`: SSE text as it is;
 * `bare-json`: frames with the chunks' JSON alone, no SSE lines and no `[DONE]`; `json`: no stream at all,
 * the whole answer as JSON.
 */
export type Wire = "eventstream" | "sse" | "json" | "bare-json";

export interface WireOptions {
  readonly wire: Wire;
  /** 0: one SSE event a unit; n: units of n bytes, wherever that cuts. Default 0. */
  readonly sliceBytes: number;
}

/** Whether the units are frames. */
export function isFramed(wire: Wire): boolean {
  return wire === "eventstream" || wire === "bare-json";
}

export function streamContentType(wire: Wire): string {
  return isFramed(wire) ? eventStreamContentType : "text/event-stream; charset=utf-8";
}

/** The units of a stream. Slices run on over the ends of events, so that one may hold the end of one and the start of the next. */
export async function* wireUnits(
  events: AsyncIterable<Uint8Array>,
  { wire, sliceBytes }: WireOptions,
): AsyncGenerator<Uint8Array> {
  const unit = isFramed(wire) ? payloadPartFrame : (bytes: Uint8Array) => bytes;
  const parts = wire === "bare-json" ? bareJson(events) : events;
  // Chunks of JSON run together could not be told apart, so slices end where a chunk does.
  const slicer = new Slicer(sliceBytes, wire !== "bare-json");
  for await (const part of parts) {
    for (const slice of slicer.push(part)) yield unit(slice);
  }
  for (const slice of slicer.flush()) yield unit(slice);
}

/** Bytes in, slices of one size out; what is left over waits for more bytes, where it may. */
class Slicer {
  readonly #size: number;
  readonly #joins: boolean;
  #rest: Uint8Array = new Uint8Array();

  constructor(size: number, joins: boolean) {
    this.#size = size;
    this.#joins = joins;
  }

  *push(bytes: Uint8Array): Generator<Uint8Array> {
    if (this.#size === 0) {
      yield bytes;
      return;
    }
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let from = 0;
    for (; from + this.#size <= all.length; from += this.#size) {
      yield all.subarray(from, from + this.#size);
    }
    this.#rest = all.subarray(from);
    if (!this.#joins) yield* this.flush();
  }

  *flush(): Generator<Uint8Array> {
    if (this.#rest.length > 0) yield this.#rest;
    this.#rest = new Uint8Array();
  }
}

async function* bareJson(events: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const event of events) {
    if (!isDone(event)) yield Buffer.from(eventData(event), "utf8");
  }
}

/** Whether an SSE event is the `[DONE]` that closes an OpenAI stream. */
export function isDone(event: Uint8Array): boolean {
  return event.length < 32 && eventData(event) === "[DONE]";
}

function eventData(event: Uint8Array): string {
  return Buffer.from(event)
    .toString("utf8")
    .split(/\r\n|\n|\r/u)
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(5).replace(/^ /u, ""))
    .join("\n");
}
