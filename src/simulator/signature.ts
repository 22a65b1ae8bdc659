/**
 * Steps 2 to 4 of Signature Version 4, from AWS's specification: the string to sign, the signing key
 * and the signature. Only `node:crypto`; nothing of the gateway's signer.
 */
import { createHmac } from "node:crypto";
import { sha256Hex } from "./canonical-request.ts";

/** The credential scope: for which day, region and service a signing key is good. */
export interface CredentialScope {
  /** `YYYYMMDD`. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

/** The string to sign. `timestamp` is `YYYYMMDDTHHMMSSZ`. */
export function stringToSign(canonical: string, timestamp: string, scope: CredentialScope): string {
  const { date, region, service } = scope;
  return `AWS4-HMAC-SHA256\n${timestamp}\n${date}/${region}/${service}/aws4_request\n${sha256Hex(canonical)}`;
}

/** The signing key: the secret, folded over the scope. */
export function signingKey(secretAccessKey: string, scope: CredentialScope): Buffer {
  const parts = [scope.date, scope.region, scope.service, "aws4_request"];
  return parts.reduce(
    (key, part) => createHmac("sha256", key).update(part).digest(),
    Buffer.from(`AWS4${secretAccessKey}`, "utf8"),
  );
}

/** The signature, raw. */
export function signature(key: Uint8Array, toSign: string): Buffer {
  return createHmac("sha256", key).update(toSign, "latin1").digest();
}
