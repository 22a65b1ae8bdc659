/**
 * Where the members of a JSON object lie in its bytes, so that one value can be put in place of another and every
 * other byte stays as the agent wrote it. A parse and a serialisation would not do that: integers beyond 2^53 (the
 * int64 bounds of generated tool schemas) come back rounded, and the model would see another prompt.
 */

/** One member of the outermost object. */
export interface JsonMember {
  readonly name: string;
  /** Offset of the value's first byte. */
  readonly start: number;
  /** Offset after the value's last byte. */
  readonly end: number;
}

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

/** A replacement: these bytes in place of those from `start` to `end`. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * The members of the object that `json` holds, in order, a repeated name each time. `json` must have been parsed
 * before: of what is no JSON object nothing sensible is said.
 */
export function objectMembers(json: Buffer): JsonMember[] {
  const members: JsonMember[] = [];
  let at = skipBlank(json, json.indexOf(openBrace) + 1);
  while (at < json.length && json[at] === quote) {
    const nameEnd = endOfString(json, at);
    const name = JSON.parse(json.toString("utf8", at, nameEnd)) as string;
    // Over the colon, which may have blanks on either side.
    const start = skipBlank(json, skipBlank(json, nameEnd) + 1);
    const end = endOfValue(json, start);
    members.push({ name, start, end });
    at = skipBlank(json, end);
    if (json[at] === comma) at = skipBlank(json, at + 1);
  }
  return members;
}

/** `json` with the splices made; they must be in order and must not overlap. */
export function spliced(json: Buffer, splices: readonly Splice[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const { start, end, text } of splices) {
    parts.push(json.subarray(at, start), Buffer.from(text));
    at = end;
  }
  parts.push(json.subarray(at));
  return Buffer.concat(parts);
}

function skipBlank(json: Buffer, from: number): number {
  let at = from;
  while (isBlank(json[at])) at += 1;
  return at;
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** `from` is at the opening quote; the offset after the closing one. Strings are most of a body: `indexOf` leaps over them. */
function endOfString(json: Buffer, from: number): number {
  let at = json.indexOf(quote, from + 1);
  while (at !== -1 && isEscaped(json, at)) at = json.indexOf(quote, at + 1);
  return at === -1 ? json.length : at + 1;
}

/** Whether an odd number of backslashes stands before it. */
function isEscaped(json: Buffer, at: number): boolean {
  let first = at;
  while (json[first - 1] === backslash) first -= 1;
  return (at - first) % 2 === 1;
}

function endOfValue(json: Buffer, from: number): number {
  const byte = json[from];
  if (byte === quote) return endOfString(json, from);
  if (byte === openBrace || byte === openBracket) return endOfNested(json, from);
  let at = from;
  while (at < json.length && !isBlank(json[at]) && !endsScalar(json[at])) at += 1;
  return at;
}

function endsScalar(byte: number | undefined): boolean {
  return byte === comma || byte === closeBrace || byte === closeBracket;
}

function endOfNested(json: Buffer, from: number): number {
  let depth = 0;
  let at = from;
  while (at < json.length) {
    const byte = json[at];
    if (byte === quote) {
      at = endOfString(json, at);
      continue;
    }
    at += 1;
    if (byte === openBrace || byte === openBracket) depth += 1;
    else if (byte === closeBrace || byte === closeBracket) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return at;
}
