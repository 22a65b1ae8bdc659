/**
 * The corridor's first door: host → origin → key → body. Everything is read from headers, before a byte of the
 * body, and nothing is kept of the request. CORS is never offered: no web page has business here.
 */
import { hash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { GatewayError } from "../errors.ts";
import { createHostPolicy, type HostPolicy } from "./host-policy.ts";

/** The part of the configuration's `server` that the guard needs. */
export interface GuardSettings {
  readonly host: string;
  readonly api_keys: readonly string[];
  readonly allowed_hosts: readonly string[];
  /** Largest declared Content-Length, in bytes; a chunked body is counted by whoever reads it. */
  readonly max_body_bytes: number;
}

type GuardedRequest = Pick<IncomingMessage, "headers">;

/** What is wrong with the request, `undefined` when it may go on. Never throws. */
export type Guard = (incoming: GuardedRequest) => GatewayError | undefined;

/**
 * With `api_keys`, the bearer token must be one of them, and names no trajectory: that goes by path, header or
 * configuration then.
 */
export function createGuard(settings: GuardSettings): Guard {
  const checkHost = createHostCheck(settings);
  const checkKey = createKeyCheck(settings.api_keys);
  const limit = settings.max_body_bytes;
  return ({ headers }) =>
    checkHost(headers.host) ??
    checkOrigin(headers) ??
    checkKey(headers.authorization) ??
    checkBody(headers, limit);
}

type Headers = GuardedRequest["headers"];

function createHostCheck(
  settings: GuardSettings,
): (host: string | undefined) => GatewayError | undefined {
  const isAllowed: HostPolicy = createHostPolicy(settings.host, settings.allowed_hosts);
  // Nearly all callers of one gateway spell it alike.
  let lastAllowed: string | undefined;
  return (host) => {
    if (host !== undefined && host === lastAllowed) return undefined;
    if (host === undefined || !isAllowed(host)) return hostNotAllowed(host);
    lastAllowed = host;
    return undefined;
  };
}

function hostNotAllowed(host: string | undefined): GatewayError {
  const what =
    host === undefined ? "The request has no Host header" : `The Host header says ${quoted(host)}`;
  return new GatewayError(
    "host_not_allowed",
    `${what}, which is not a name of this turnpike. Call it by a loopback address or by its server.host, or list the name in server.allowed_hosts (TURNPIKE_ALLOWED_HOSTS).`,
    { param: "Host" },
  );
}

/** Browsers send these and cannot be made not to; other clients send neither, or their own origin. */
function checkOrigin(headers: Headers): GatewayError | undefined {
  const { origin } = headers;
  if (origin !== undefined && !isSameOrigin(origin, headers.host ?? "")) {
    return originNotAllowed(`The request comes from the web origin ${quoted(origin)}`, "Origin");
  }
  if (headers["sec-fetch-site"] === "cross-site") {
    return originNotAllowed("A web page of another site sent this request", "Sec-Fetch-Site");
  }
  return undefined;
}

/** The scheme may be either: a proxy in front may have taken TLS off. */
function isSameOrigin(origin: string, host: string): boolean {
  const lowered = host.toLowerCase();
  const from = origin.toLowerCase();
  return from === `http://${lowered}` || from === `https://${lowered}`;
}

function originNotAllowed(what: string, header: string): GatewayError {
  return new GatewayError(
    "origin_not_allowed",
    `${what}; turnpike answers programs, not web pages. Call it from the agent's own process, or through the page's own server.`,
    { param: header },
  );
}

const bearer = /^bearer +(\S+) *$/i;

function createKeyCheck(
  keys: readonly string[],
): (authorization: string | undefined) => GatewayError | undefined {
  if (keys.length === 0) return () => undefined;
  const digests = keys.map(digest);
  return (authorization) => {
    const presented = authorization === undefined ? undefined : bearer.exec(authorization)?.[1];
    if (presented === undefined) {
      return invalidKey("This turnpike asks for a key, and the request carries none");
    }
    const presentedDigest = digest(presented);
    let known = false;
    // Every key is compared, so that the time says nothing about which one was near.
    for (const key of digests) known = timingSafeEqual(key, presentedDigest) || known;
    return known ? undefined : invalidKey("The request's key is not one of this turnpike's");
  };
}

/** Digests are of one length, as timingSafeEqual wants, and their bytes cannot be steered. */
function digest(key: string): Buffer {
  return hash("sha256", key, "buffer");
}

function invalidKey(what: string): GatewayError {
  return new GatewayError(
    "invalid_api_key",
    `${what}. Send \`Authorization: Bearer <key>\` (OPENAI_API_KEY=<key>) with one of server.api_keys (TURNPIKE_API_KEY); the trajectory is then named by the base URL, a header or the configuration, not by the key.`,
    { param: "Authorization" },
  );
}

function checkBody(headers: Headers, limit: number): GatewayError | undefined {
  const declared = headers["content-length"];
  const bytes = declared === undefined ? 0 : Number(declared);
  if (bytes === 0 && headers["transfer-encoding"] === undefined) return undefined;
  const type = headers["content-type"];
  if (type !== "application/json" && !isJson(type)) return notJson(type);
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") return encoded(encoding);
  return bytes > limit ? bodyTooLarge(limit, bytes) : undefined;
}

/** JSON in UTF-8 (RFC 8259): the bytes go to the model as they are, so no other charset can be put right here. */
function isJson(contentType: string | undefined): boolean {
  if (contentType === undefined) return false;
  const [type = "", ...parameters] = contentType.toLowerCase().split(";");
  if (type.trim() !== "application/json") return false;
  const charset = parameters.map((text) => text.trim()).find((text) => text.startsWith("charset="));
  return charset === undefined || /^charset="?(?:utf-?8|us-ascii)"?$/.test(charset);
}

function notJson(type: string | undefined): GatewayError {
  const sent = type === undefined ? "has no content-type" : `has content-type ${quoted(type)}`;
  return new GatewayError(
    "unsupported_media_type",
    `The request's body ${sent}; send JSON in UTF-8 with \`content-type: application/json\`.`,
    { param: "Content-Type" },
  );
}

function encoded(encoding: string): GatewayError {
  return new GatewayError(
    "unsupported_media_type",
    `The request's body has content-encoding ${quoted(encoding)}; send it uncompressed, since the service takes the body's bytes as they are.`,
    { param: "Content-Encoding" },
  );
}

/** For readers of bodies that declared no length, too. `bytes` where it was declared. */
export function bodyTooLarge(limit: number, bytes?: number): GatewayError {
  const size = bytes === undefined ? `more than ${limit}` : `${bytes}`;
  return new GatewayError(
    "body_too_large",
    `The request's body has ${size} bytes; at most ${limit} are taken (server.max_body_bytes, TURNPIKE_MAX_BODY_BYTES).`,
  );
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
