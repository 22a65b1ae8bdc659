/**
 * The end of an SSE stream, watched while the bytes go by untouched: did it end with `[DONE]`, and
 * what did it cost. Costs a few array operations per chunk. An end that is not the
 * usual `data: [DONE]` is looked at closely, by eventsource-parser, on the last few kilobytes.
 */
import { createParser } from "eventsource-parser";
import { findUsage, type TokenCounts } from "./usage.ts";

/** Kept of the stream's end, in bytes: the usage chunk and `[DONE]` are its last two events. */
const tailBytes = 4 * 1024;
/** More slices than this are joined, or a stream of one-byte slices would keep an array of thousands. */
const maxSlices = 64;

/** How a stream ended, read from its last events. */
export interface SseEnding {
  /** `data: [DONE]` was the last event. */
  readonly done: boolean;
  /** A chunk in the tail carried a `finish_reason`. */
  readonly finished: boolean;
  /** The last event was the model's own error. */
  readonly failed: boolean;
  /** The tail is not well-formed: no SSE, or data that is no JSON. */
  readonly malformed: boolean;
  readonly usage: TokenCounts | undefined;
}

export class SseTail {
  #slices: Buffer[] = [];
  #bytes = 0;
  /** Bytes have been dropped from the front: the tail may begin inside an event. */
  #cut = false;

  push(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (bytes.length >= tailBytes) {
      this.#slices = [bytes.subarray(-tailBytes)];
      this.#bytes = tailBytes;
      this.#cut = true;
      return;
    }
    this.#slices.push(bytes);
    this.#bytes += bytes.length;
    let first = this.#slices[0];
    while (first && this.#bytes - first.length >= tailBytes) {
      this.#slices.shift();
      this.#bytes -= first.length;
      this.#cut = true;
      first = this.#slices[0];
    }
    if (this.#slices.length > maxSlices) this.#slices = [Buffer.concat(this.#slices, this.#bytes)];
  }

  /** To be asked once, after the last byte. */
  ending(): SseEnding {
    let tail = Buffer.concat(this.#slices, this.#bytes);
    if (endsWithDone(tail)) return { ...wholeEnding, usage: findUsage(tail) };
    if (this.#cut) tail = tail.subarray(firstEventAt(tail));
    const data: string[] = [];
    let malformed = false;
    const parser = createParser({
      onEvent: (event) => data.push(event.data),
      onError: () => {
        malformed = true;
      },
    });
    // Some servers leave out the last blank line; a last event that is cut short shows as malformed.
    parser.feed(`${tail.toString("utf8")}\n\n`);
    const last = data.at(-1);
    const chunks = data.filter((text) => text !== "[DONE]");
    return {
      done: last === "[DONE]",
      finished: chunks.some((text) => /"finish_reason"\s*:\s*"/.test(text)),
      failed: last !== undefined && isErrorChunk(last),
      malformed: malformed || !isJson(chunks.at(-1)),
      usage: findUsage(tail),
    };
  }
}

const doneEvent = Buffer.from("\n\ndata: [DONE]\n\n");

/** The usual end, told by its bytes. */
function endsWithDone(tail: Buffer): boolean {
  const at = tail.length - doneEvent.length;
  return at >= 0 && tail.compare(doneEvent, 0, doneEvent.length, at) === 0;
}

const wholeEnding = { done: true, finished: true, failed: false, malformed: false } as const;

/** Where the first whole event begins: after a blank line. */
function firstEventAt(tail: Buffer): number {
  for (const boundary of ["\n\n", "\r\n\r\n", "\r\r"]) {
    const at = tail.indexOf(boundary);
    if (at >= 0) return at + boundary.length;
  }
  return 0;
}

function isErrorChunk(text: string): boolean {
  if (!text.includes('"error"')) return false;
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null && "error" in parsed && !!parsed.error;
  } catch {
    return false;
  }
}

function isJson(text: string | undefined): boolean {
  if (text === undefined) return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
