/**
 * A stream of bare JSON chunks (`{…}{…}`, with or without white space between) → SSE events. Some
 * models' containers stream chunks without SSE lines; clients know only SSE.
 */

const openBrace = 0x7b;
const closeBrace = 0x7d;
const quote = 0x22;
const backslash = 0x5c;
const dataPrefix = Buffer.from("data: ");
const eventEnd = Buffer.from("\n\n");
const doneText = "[DONE]";
/** One chunk is never this long; beyond it the stream is no stream of chunks. */
const maxChunkBytes = 16 * 1024 * 1024;

export type PayloadForm = "sse" | "bare-json";

/** Tells the two forms apart by the first byte that is not white space; `undefined` while there is none. */
export function payloadForm(bytes: Buffer): PayloadForm | undefined {
  for (const byte of bytes) {
    if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) continue;
    return byte === openBrace ? "bare-json" : "sse";
  }
  return undefined;
}

/** Cuts at the end of each top-level object, whatever the slicing, strings and escapes respected. */
export class BareJsonChunks {
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #between = "";
  #finished = false;

  /** The stream said `[DONE]` itself. */
  get sawDone(): boolean {
    return this.#between.includes(doneText);
  }

  /** A chunk carried a `finish_reason`. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Bytes of a chunk that has not ended. */
  get incomplete(): boolean {
    return this.#depth > 0;
  }

  /** The SSE events completed by `bytes`, as one buffer. Throws RangeError on a chunk beyond 16 MiB. */
  push(bytes: Buffer): Buffer {
    const out: Buffer[] = [];
    let start = 0;
    for (let i = 0; i < bytes.length; i += 1) {
      const byte = bytes[i] ?? 0;
      if (this.#depth === 0) {
        start = i;
        if (byte === openBrace) this.#depth = 1;
        else if (this.#between.length < 64) this.#between += String.fromCharCode(byte).trim();
        continue;
      }
      if (!this.#step(byte)) continue;
      this.#take(bytes.subarray(start, i + 1));
      out.push(...this.#event());
    }
    if (this.#depth > 0) this.#take(bytes.subarray(start));
    return Buffer.concat(out);
  }

  /** Advances inside an object; true when it has just ended. */
  #step(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === backslash) this.#escaped = true;
      else if (byte === quote) this.#inString = false;
      return false;
    }
    if (byte === quote) this.#inString = true;
    else if (byte === openBrace) this.#depth += 1;
    else if (byte === closeBrace) this.#depth -= 1;
    return this.#depth === 0;
  }

  #take(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes > maxChunkBytes) {
      throw new RangeError(`a JSON chunk of the stream is longer than ${maxChunkBytes} bytes`);
    }
  }

  #event(): Buffer[] {
    const chunk = Buffer.concat(this.#pending, this.#pendingBytes);
    this.#pending = [];
    this.#pendingBytes = 0;
    // A pretty-printed chunk has line breaks, which would end the SSE line; JSON needs none of them.
    const line = chunk.includes(0x0a) || chunk.includes(0x0d) ? oneLine(chunk) : chunk;
    this.#finished ||= /"finish_reason"\s*:\s*"/.test(line.toString("latin1"));
    return [dataPrefix, line, eventEnd];
  }
}

/** Raw line breaks are legal only between tokens of JSON, so dropping them changes no value. */
function oneLine(chunk: Buffer): Buffer {
  return chunk.filter((byte) => byte !== 0x0a && byte !== 0x0d) as Buffer;
}
