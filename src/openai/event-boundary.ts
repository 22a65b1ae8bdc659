/**
 * Holds back the unfinished event at the end of an SSE stream's bytes, so that whatever has been
 * written ends between two events: there a `: ping` or a terminal error event can follow and be read.
 * Adds and drops no byte.
 */

/**
 * An unfinished event longer than this is passed on as it comes, in bytes: an endless line must not
 * fill the memory, and past it a clean boundary is worth less than the client's progress.
 */
const maxHeldBytes = 256 * 1024;

const nothing = Buffer.alloc(0);
const lineFeed = 0x0a;

export class EventBoundary {
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** The last three held bytes: as much of a blank line as can precede a slice. */
  #lastHeld: Buffer = nothing;
  #clean = true;

  /** Everything returned so far ends between two events. */
  get clean(): boolean {
    return this.#clean;
  }

  /** The bytes that may be written now; `undefined` while an event is unfinished. */
  push(bytes: Buffer): Buffer | undefined {
    const length = bytes.length;
    if (
      this.#heldBytes === 0 &&
      length >= 2 &&
      bytes[length - 1] === lineFeed &&
      bytes[length - 2] === lineFeed
    ) {
      this.#clean = true;
      return bytes;
    }
    return this.#split(bytes);
  }

  /** What is left after the last byte. */
  flush(): Buffer | undefined {
    return this.#heldBytes === 0 ? undefined : this.#release(nothing);
  }

  #split(bytes: Buffer): Buffer | undefined {
    // A boundary may lie across the slices.
    const before = this.#lastHeld;
    const end = lastBoundaryEnd(before.length === 0 ? bytes : Buffer.concat([before, bytes]));
    const cut = end - before.length;
    if (end > 0 && cut >= 0) {
      const ready = this.#release(bytes.subarray(0, cut));
      this.#hold(bytes.subarray(cut));
      this.#clean = true;
      return ready;
    }
    this.#hold(bytes);
    if (this.#heldBytes <= maxHeldBytes) return undefined;
    this.#clean = false;
    return this.#release(nothing);
  }

  #hold(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    this.#lastHeld =
      bytes.length >= 3 ? bytes.subarray(-3) : Buffer.concat([this.#lastHeld, bytes]).subarray(-3);
  }

  #release(more: Buffer): Buffer {
    const ready =
      this.#heldBytes === 0
        ? more
        : Buffer.concat([...this.#held, more], this.#heldBytes + more.length);
    this.#held = [];
    this.#heldBytes = 0;
    this.#lastHeld = nothing;
    return ready;
  }
}

/** The index after the last blank line; 0 where there is none. Line ends may be LF, CRLF or CR. */
function lastBoundaryEnd(bytes: Buffer): number {
  const lf = bytes.lastIndexOf("\n\n");
  const crlf = bytes.lastIndexOf("\r\n\r\n");
  const cr = bytes.lastIndexOf("\r\r");
  return Math.max(lf < 0 ? 0 : lf + 2, crlf < 0 ? 0 : crlf + 4, cr < 0 ? 0 : cr + 2);
}
