/**
 * CRC-32 as zlib has it, eight bytes a step, for short pieces of a longer buffer: handing each frame of a
 * stream to `zlib.crc32` costs a view and a native call, together more than the sum itself. The tests
 * hold it to zlib's.
 */
import { crc32 as nativeCrc32 } from "node:zlib";

/** Longer pieces are worth the native call. */
const nativeFromBytes = 2048;

/** `tables[n * 256 + byte]`: what a byte does to the sum n bytes further on (polynomial 0xEDB88320, reflected). */
const tables = new Int32Array(8 * 256);
for (let byte = 0; byte < 256; byte += 1) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  tables[byte] = crc;
}
for (let at = 256; at < tables.length; at += 1) {
  const before = tables[at - 256] ?? 0;
  tables[at] = (tables[before & 0xff] ?? 0) ^ (before >>> 8);
}
const [t0, t1, t2, t3, t4, t5, t6, t7] = [0, 1, 2, 3, 4, 5, 6, 7].map((n) =>
  tables.subarray(n * 256, n * 256 + 256),
) as [Table, Table, Table, Table, Table, Table, Table, Table];
type Table = Int32Array;

/** Of the bytes from `start` to before `end`, unsigned. */
export function crc32(view: DataView, start: number, end: number): number {
  if (end - start >= nativeFromBytes) {
    return nativeCrc32(new Uint8Array(view.buffer, view.byteOffset + start, end - start));
  }
  let crc = -1;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const low = view.getInt32(at, true) ^ crc;
    const high = view.getInt32(at + 4, true);
    crc =
      look(t7, low) ^
      look(t6, low >>> 8) ^
      look(t5, low >>> 16) ^
      look(t4, low >>> 24) ^
      look(t3, high) ^
      look(t2, high >>> 8) ^
      look(t1, high >>> 16) ^
      look(t0, high >>> 24);
  }
  for (; at < end; at += 1) crc = look(t0, crc ^ view.getUint8(at)) ^ (crc >>> 8);
  return (crc ^ -1) >>> 0;
}

function look(table: Table, index: number): number {
  // The mask keeps the index inside; the types cannot know.
  return table[index & 0xff] as number;
}
