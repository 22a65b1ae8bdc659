/**
 * Who sent this, and is it what they signed? Authorization header → scope → credentials → date →
 * session token → signature, each failure with AWS's own type and text.
 */
import { timingSafeEqual } from "node:crypto";
import { canonicalRequest, sha256Hex, type WireRequest } from "./canonical-request.ts";
import { simulatorLimits } from "./limits.ts";
import { ServiceError } from "./service-error.ts";
import { type CredentialScope, signature, signingKey, stringToSign } from "./signature.ts";

/** One set of credentials the simulator knows. */
export interface SimulatorCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** When set, a request must carry exactly this token; when not, it must carry none. */
  readonly sessionToken?: string;
  /** From this moment on, requests are answered with ExpiredTokenException. */
  readonly expiresAt?: Date;
}

export interface SignatureVerifierOptions {
  readonly credentials: readonly SimulatorCredentials[];
  readonly region: string;
  /** The signing name; `sagemaker` for the Job Runtime service [model]. */
  readonly service: string;
}

interface Authorization {
  readonly accessKeyId: string;
  readonly scope: CredentialScope & { readonly terminator: string };
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

/** A function that throws a {@link ServiceError} unless the request is signed as the service asks; returns the access key's id. */
export type VerifySignature = (request: WireRequest, body: Uint8Array, nowMs: number) => string;

/** Makes the verifier for a set of credentials. Signing keys are kept for the day they are good for. */
export function createSignatureVerifier(options: SignatureVerifierOptions): VerifySignature {
  const known = new Map(options.credentials.map((entry) => [entry.accessKeyId, entry]));
  const keyFor = signingKeyCache();
  return (request, body, nowMs) => {
    const authorization = parseAuthorization(headerValue(request, "authorization"));
    const timestamp = requestTimestamp(request);
    checkScope(authorization.scope, timestamp, options);
    checkSignedHeaders(request, authorization.signedHeaders);
    const credentials = known.get(authorization.accessKeyId);
    if (credentials === undefined) throw invalidToken();
    checkDate(timestamp, nowMs);
    checkSessionToken(request, credentials, nowMs);
    const canonical = canonicalRequest(request, {
      signedHeaders: authorization.signedHeaders,
      payloadHash: checkedPayloadHash(request, body),
    });
    const key = keyFor(credentials.secretAccessKey, authorization.scope);
    const expected = signature(key, stringToSign(canonical, timestamp, authorization.scope));
    checkSignature(authorization.signature, expected);
    return credentials.accessKeyId;
  };
}

function parseAuthorization(header: string | undefined): Authorization {
  if (header === undefined || header.trim() === "") {
    throw new ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token");
  }
  const [algorithm = "", rest = ""] = header.trim().split(/ (.*)/su);
  if (algorithm !== "AWS4-HMAC-SHA256") {
    throw incomplete(`Unsupported AWS 'algorithm': '${algorithm.slice(0, 40)}'.`);
  }
  const parameters = new Map(
    rest.split(",").map((part): [string, string] => {
      const [name = "", value = ""] = part.trim().split(/=(.*)/su);
      return [name, value];
    }),
  );
  const missing = ["Credential", "Signature", "SignedHeaders"].filter(
    (name) => !parameters.get(name),
  );
  if (missing.length > 0) {
    throw incomplete(
      missing.map((name) => `Authorization header requires '${name}' parameter.`).join(" "),
    );
  }
  const [accessKeyId, scope] = parseCredential(parameters.get("Credential") ?? "");
  return {
    accessKeyId,
    scope,
    signedHeaders: (parameters.get("SignedHeaders") ?? "").split(";"),
    signature: parameters.get("Signature") ?? "",
  };
}

function parseCredential(credential: string): [string, Authorization["scope"]] {
  const parts = credential.split("/");
  const [accessKeyId, date, region, service, terminator] = parts;
  const isComplete = parts.length === 5 && !parts.includes("");
  if (!isComplete || terminator === undefined) {
    throw incomplete(
      `Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${credential}'.`,
    );
  }
  return [
    accessKeyId ?? "",
    { date: date ?? "", region: region ?? "", service: service ?? "", terminator },
  ];
}

/** The request's own date as `YYYYMMDDTHHMMSSZ`, from X-Amz-Date or else Date. */
function requestTimestamp(request: WireRequest): string {
  const value = headerValue(request, "x-amz-date") ?? headerValue(request, "date");
  if (value === undefined) {
    throw incomplete(
      "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
    );
  }
  if (/^\d{8}T\d{6}Z$/u.test(value)) return value;
  const parsed = Date.parse(value);
  if (Number.isNaN(parsed)) {
    throw incomplete(
      `Date must be in ISO-8601 'basic format'. Got '${value}'. See http://en.wikipedia.org/wiki/ISO_8601.`,
    );
  }
  return basicTimestamp(parsed);
}

function checkScope(
  scope: Authorization["scope"],
  timestamp: string,
  options: SignatureVerifierOptions,
): void {
  if (scope.terminator !== "aws4_request") {
    throw invalidSignature(
      `Credential should be scoped with a valid terminator: 'aws4_request', not '${scope.terminator}'.`,
    );
  }
  if (scope.region !== options.region) {
    throw invalidSignature("Credential should be scoped to a valid region.");
  }
  if (scope.service !== options.service) {
    throw invalidSignature(`Credential should be scoped to correct service: '${options.service}'.`);
  }
  if (scope.date !== timestamp.slice(0, 8)) {
    throw invalidSignature(
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${scope.date}' != '${timestamp.slice(0, 8)}', from '${timestamp}'.`,
    );
  }
}

/**
 * `host` and every header that names itself AWS's must be covered: `x-amz-*` by the specification, and
 * `x-amzn-*` because the service's members travel there and an unsigned member could be altered [inferred].
 */
function checkSignedHeaders(request: WireRequest, signedHeaders: readonly string[]): void {
  const signed = new Set(signedHeaders);
  const mustBeSigned = new Set(["host"]);
  for (const [name] of request.headers) {
    const lower = name.toLowerCase();
    if (lower.startsWith("x-amz")) mustBeSigned.add(lower);
  }
  for (const name of mustBeSigned) {
    if (!signed.has(name)) {
      throw invalidSignature(`'${name}' must be a 'SignedHeader' in the AWS Authorization.`);
    }
  }
}

function checkDate(timestamp: string, nowMs: number): void {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/u.exec(timestamp) ?? [];
  const requestMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(requestMs)) {
    throw incomplete(`Date must be in ISO-8601 'basic format'. Got '${timestamp}'.`);
  }
  const skewMs = simulatorLimits.maxClockSkewMs;
  const now = basicTimestamp(nowMs);
  if (requestMs < nowMs - skewMs) {
    throw invalidSignature(
      `Signature expired: ${timestamp} is now earlier than ${basicTimestamp(nowMs - skewMs)} (${now} - 5 min.)`,
    );
  }
  if (requestMs > nowMs + skewMs) {
    throw invalidSignature(
      `Signature not yet current: ${timestamp} is still later than ${basicTimestamp(nowMs + skewMs)} (${now} + 5 min.)`,
    );
  }
}

function checkSessionToken(
  request: WireRequest,
  credentials: SimulatorCredentials,
  nowMs: number,
): void {
  const token = headerValue(request, "x-amz-security-token");
  if (!sameText(token ?? "", credentials.sessionToken ?? "")) throw invalidToken();
  if (credentials.expiresAt !== undefined && nowMs >= credentials.expiresAt.getTime()) {
    throw new ServiceError(
      "ExpiredTokenException",
      "The security token included in the request is expired",
    );
  }
}

/** The hash of the body as it came. A declared hash is checked against it, never trusted. */
function checkedPayloadHash(request: WireRequest, body: Uint8Array): string {
  const actual = sha256Hex(body);
  const declared = headerValue(request, "x-amz-content-sha256");
  if (declared !== undefined && declared !== actual) {
    throw invalidSignature(
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    );
  }
  return actual;
}

function checkSignature(given: string, expected: Buffer): void {
  if (!sameText(given, expected.toString("hex"))) {
    throw invalidSignature(
      "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
    );
  }
}

/** Signing keys by secret and scope; emptied when it grows, so that a client of many scopes cannot fill memory. */
function signingKeyCache(): (secret: string, scope: CredentialScope) => Buffer {
  const keys = new Map<string, Buffer>();
  return (secret, scope) => {
    const name = `${secret}\n${scope.date}\n${scope.region}\n${scope.service}`;
    const cached = keys.get(name);
    if (cached !== undefined) return cached;
    if (keys.size >= 100) keys.clear();
    const key = signingKey(secret, scope);
    keys.set(name, key);
    return key;
  };
}

function headerValue(request: WireRequest, name: string): string | undefined {
  return request.headers.find(([key]) => key.toLowerCase() === name)?.[1].trim();
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** `YYYYMMDDTHHMMSSZ`, the time format of Signature Version 4. */
function basicTimestamp(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/[-:]|\.\d{3}/gu, "");
}

function incomplete(message: string): ServiceError {
  return new ServiceError("IncompleteSignatureException", message);
}

function invalidSignature(message: string): ServiceError {
  return new ServiceError("InvalidSignatureException", message);
}

function invalidToken(): ServiceError {
  return new ServiceError(
    "UnrecognizedClientException",
    "The security token included in the request is invalid.",
  );
}
