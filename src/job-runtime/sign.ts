/**
 * SigV4 over a fixed, already sorted list of headers: hash the body → canonical request → string to
 * sign → signature. The lean twin of @smithy/signature-v4 for the one kind of request the corridor
 * makes (POST, no query); `test/job-runtime/sign.test.ts` holds it to AWS's vectors and, on random
 * requests, to @smithy/signature-v4 byte for byte.
 *
 * Why a twin: canonicalising an arbitrary request and making HMAC key objects took most of the 130 µs
 * the library needs; here the headers come sorted and the day's signing key is kept as a KeyObject.
 */
import { createHmac, createSecretKey, hash, type KeyObject } from "node:crypto";
import type { AwsCredentials } from "./credentials.ts";

/** [model] The service's signing name, service.md "Protocol". */
export const signingName = "sagemaker";

export interface SignableRequest {
  /** The path as sent: absolute, no query, only characters that need no encoding. */
  readonly path: string;
  /** Lower-case names in ascending order; `host` and `x-amz-date` among them. Values trimmed. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** SHA-256 of the body, in hex. */
  readonly bodyHash: string;
  readonly method?: string;
}

export interface SigningScope {
  readonly region: string;
  /** Default `sagemaker`. */
  readonly service?: string;
}

/** Makes `Authorization` values for one region. Keeps one signing key: the latest credentials' for the latest day. */
export class RequestSigner {
  readonly #region: string;
  readonly #service: string;
  #keyCredentials: AwsCredentials | undefined;
  #keyDay = "";
  #key: KeyObject | undefined;

  constructor(scope: SigningScope) {
    this.#region = scope.region;
    this.#service = scope.service ?? signingName;
  }

  /** `amzDate` is the value of the request's `x-amz-date` header, `yyyymmddThhmmssZ`. */
  authorization(request: SignableRequest, credentials: AwsCredentials, amzDate: string): string {
    let canonicalHeaders = "";
    let signedHeaders = "";
    for (const [name, value] of request.headers) {
      canonicalHeaders += `${name}:${collapseSpaces(value)}\n`;
      signedHeaders += signedHeaders === "" ? name : `;${name}`;
    }
    const canonicalRequest = `${request.method ?? "POST"}\n${request.path}\n\n${canonicalHeaders}\n${signedHeaders}\n${request.bodyHash}`;
    const day = amzDate.slice(0, 8);
    const scope = `${day}/${this.#region}/${this.#service}/aws4_request`;
    const stringToSign = `AWS4-HMAC-SHA256\n${amzDate}\n${scope}\n${hash("sha256", canonicalRequest)}`;
    const signature = createHmac("sha256", this.#signingKey(credentials, day))
      .update(stringToSign)
      .digest("hex");
    return `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
  }

  #signingKey(credentials: AwsCredentials, day: string): KeyObject {
    if (this.#key && this.#keyCredentials === credentials && this.#keyDay === day) return this.#key;
    const hmac = (key: string | Buffer, text: string) =>
      createHmac("sha256", key).update(text).digest();
    const dayKey = hmac(`AWS4${credentials.secretAccessKey}`, day);
    const serviceKey = hmac(hmac(dayKey, this.#region), this.#service);
    this.#key = createSecretKey(hmac(serviceKey, "aws4_request"));
    this.#keyCredentials = credentials;
    this.#keyDay = day;
    return this.#key;
  }
}

/** What a signature needs of a body; also names the body where retries are told from new turns. */
export function bodyHashOf(body: Uint8Array): string {
  return hash("sha256", body);
}

/** SigV4's canonical header value: runs of white space become one space. */
function collapseSpaces(value: string): string {
  return value.includes("  ") || value.includes("\t") ? value.replace(/\s+/g, " ") : value;
}
