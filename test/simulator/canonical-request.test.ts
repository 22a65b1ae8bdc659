import { expect, test } from "vitest";
import {
  binaryString,
  canonicalRequest,
  sha256Hex,
} from "../../src/simulator/canonical-request.ts";
import { signature, signingKey, stringToSign } from "../../src/simulator/signature.ts";
import { sigv4Cases, timestampOf, wireRequestOf } from "./sigv4-cases.ts";

test.for(sigv4Cases)("AWS's case $name has its canonical request", (vector) => {
  const canonical = canonicalRequest(wireRequestOf(vector), {
    signedHeaders: signedHeaderNames(vector.header.authorization),
    payloadHash: sha256Hex(Buffer.from(vector.request.body)),
    normalizePath: vector.normalizePath,
  });
  expect(canonical).toBe(binaryString(vector.header.canonicalRequest));
});

test.for(sigv4Cases)("AWS's case $name has its string to sign and signature", (vector) => {
  const timestamp = timestampOf(vector);
  const scope = { date: timestamp.slice(0, 8), region: vector.region, service: vector.service };
  const toSign = stringToSign(binaryString(vector.header.canonicalRequest), timestamp, scope);
  expect(toSign).toBe(vector.header.stringToSign);
  const key = signingKey(vector.credentials.secretAccessKey, scope);
  expect(signature(key, toSign).toString("hex")).toBe(vector.header.signature);
});

function signedHeaderNames(authorization: string): string[] {
  return /SignedHeaders=([^,]*)/u.exec(authorization)?.[1]?.split(";") ?? [];
}
