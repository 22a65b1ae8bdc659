/**
 * The canonical request of Signature Version 4, written from AWS's specification ("Create a signed
 * AWS API request", step 1): method, URI, query, headers, signed header names, payload hash.
 *
 * All strings here are binary (one character per byte, `latin1`), because a signature is over the
 * bytes that came, not over what some decoder made of them. `binaryString` makes one from text.
 */
import { hash } from "node:crypto";

/** A request as it stood on the wire. */
export interface WireRequest {
  readonly method: string;
  /** The path of the request line, before any `?`, as it came. */
  readonly path: string;
  /** The query of the request line, after the `?`, as it came; empty when there is none. */
  readonly query: string;
  /** Every header in the order it came; names in any case, a repeated name once per repetition. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface CanonicalOptions {
  /** The names in `SignedHeaders`, in the order they were given. */
  readonly signedHeaders: readonly string[];
  /** Lower-case hex SHA-256 of the body, or what stands for it. */
  readonly payloadHash: string;
  /** Remove `.`, `..` and empty path segments first, as every service but S3 does. Default true. */
  readonly normalizePath?: boolean;
}

/** The canonical request, a binary string. */
export function canonicalRequest(request: WireRequest, options: CanonicalOptions): string {
  const path = (options.normalizePath ?? true) ? normalizedPath(request.path) : request.path;
  return [
    request.method,
    canonicalUri(path),
    canonicalQuery(request.query),
    ...canonicalHeaders(request.headers, options.signedHeaders),
    "",
    options.signedHeaders.join(";"),
    options.payloadHash,
  ].join("\n");
}

/** Text as a string with one character per UTF-8 byte. */
export function binaryString(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** Lower-case hex SHA-256 of bytes or of a binary string. */
export function sha256Hex(data: string | Uint8Array): string {
  return hash("sha256", typeof data === "string" ? Buffer.from(data, "latin1") : data, "hex");
}

/**
 * The path with each segment percent-encoded. The path on the wire is encoded already, so this is the
 * second encoding that every service but S3 asks for.
 */
function canonicalUri(path: string): string {
  return path === "" ? "/" : path.split("/").map(percentEncoded).join("/");
}

/** RFC 3986's remove_dot_segments, and repeated slashes as one. */
function normalizedPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== "." && segment !== "") kept.push(segment);
  }
  const isFolder = /(?:^|\/)\.{0,2}$/u.test(path);
  return kept.length === 0 ? "/" : `/${kept.join("/")}${isFolder ? "/" : ""}`;
}

/** Names and values decoded, encoded strictly, sorted by name and then by value, byte by byte. */
function canonicalQuery(query: string): string {
  if (query === "") return "";
  const pairs = query.split("&").map((pair): [string, string] => {
    const equals = pair.indexOf("=");
    const name = equals === -1 ? pair : pair.slice(0, equals);
    const value = equals === -1 ? "" : pair.slice(equals + 1);
    return [percentEncoded(percentDecoded(name)), percentEncoded(percentDecoded(value))];
  });
  pairs.sort(([nameA, valueA], [nameB, valueB]) =>
    nameA === nameB ? compareBytes(valueA, valueB) : compareBytes(nameA, nameB),
  );
  return pairs.map(([name, value]) => `${name}=${value}`).join("&");
}

/** One line per signed header; a name that is signed but did not come has an empty value. */
function canonicalHeaders(
  headers: WireRequest["headers"],
  signedHeaders: readonly string[],
): string[] {
  const values = new Map<string, string[]>();
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    const known = values.get(key);
    if (known === undefined) values.set(key, [trimmed(value)]);
    else known.push(trimmed(value));
  }
  return signedHeaders.map((name) => `${name}:${values.get(name)?.join(",") ?? ""}`);
}

/** Outer white space removed, inner runs of it as one space. */
function trimmed(value: string): string {
  return value.replace(/[ \t\r\n]+/gu, " ").replace(/^ | $/gu, "");
}

function percentEncoded(binary: string): string {
  return binary.replace(
    /[^A-Za-z0-9\-._~]/gu,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

function percentDecoded(binary: string): string {
  return binary.replace(/%([0-9A-Fa-f]{2})/gu, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
