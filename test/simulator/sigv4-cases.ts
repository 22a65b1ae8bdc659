/** AWS's Signature Version 4 suite, typed; see test/fixtures/sigv4/README.md. */
import { readFileSync } from "node:fs";
import { binaryString, type WireRequest } from "../../src/simulator/canonical-request.ts";

export interface Sigv4Case {
  readonly name: string;
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  readonly region: string;
  readonly service: string;
  readonly timestamp: string;
  readonly normalizePath: boolean;
  readonly omitSessionToken: boolean;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly query: string;
    readonly body: string;
  };
  readonly header: {
    readonly canonicalRequest: string;
    readonly stringToSign: string;
    readonly signature: string;
    readonly authorization: string;
    readonly signedHeaders: readonly (readonly [string, string])[];
  };
}

export const sigv4Cases = JSON.parse(
  readFileSync(new URL("../fixtures/sigv4/cases.json", import.meta.url), "utf8"),
) as Sigv4Case[];

/** The signed request as its bytes would come off the wire. */
export function wireRequestOf({ request, header }: Sigv4Case): WireRequest {
  return {
    method: request.method,
    path: binaryString(request.path),
    query: binaryString(request.query),
    headers: header.signedHeaders.map(([name, value]) => [name, binaryString(value)]),
  };
}

/** `YYYYMMDDTHHMMSSZ`. */
export function timestampOf({ timestamp }: Sigv4Case): string {
  return timestamp.replace(/[-:]/gu, "");
}
