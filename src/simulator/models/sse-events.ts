/** SSE bytes, cut anywhere, as whole events with their closing blank line. */

const newline = 0x0a;
const carriageReturn = 0x0d;

/** Yields each event as its bytes came; what is left at the end comes last, as it is. */
export async function* sseEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const isEventEnd = eventEndFinder();
  let pending: Uint8Array[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (const [index, byte] of chunk.entries()) {
      if (!isEventEnd(byte)) continue;
      yield Buffer.concat([...pending, chunk.subarray(start, index + 1)]);
      pending = [];
      start = index + 1;
    }
    if (start < chunk.length) pending.push(chunk.subarray(start));
  }
  if (pending.length > 0) yield Buffer.concat(pending);
}

/** A function fed byte by byte that says whether this byte ended an event: a blank line after any other line. */
function eventEndFinder(): (byte: number) => boolean {
  let isLineEmpty = true;
  let hasLines = false;
  return (byte) => {
    if (byte === carriageReturn) return false;
    if (byte !== newline) {
      isLineEmpty = false;
      hasLines = true;
      return false;
    }
    const isEnd = isLineEmpty && hasLines;
    isLineEmpty = true;
    if (isEnd) hasLines = false;
    return isEnd;
  };
}
