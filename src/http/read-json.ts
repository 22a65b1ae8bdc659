/** Small JSON bodies of the rollout routes. Chat completions are never parsed like this: their bytes go on as they are. */
import type { IncomingMessage } from "node:http";
import { GatewayError } from "../errors.ts";
import { readBody } from "./read-body.ts";

/** A rollout request names a rollout; it carries no conversation. */
export const maxJsonBodyBytes = 65_536;

export type JsonObject = Readonly<Record<string, unknown>>;

/** An empty body is an empty object. Throws `body_too_large`, `invalid_json` and `client_closed`. */
export async function readJsonObject(
  incoming: IncomingMessage,
  maxBytes = maxJsonBodyBytes,
): Promise<JsonObject> {
  return parseJsonObject(await readSmallBody(incoming, maxBytes));
}

/** An empty body is an empty object. Throws `invalid_json`. */
export function parseJsonObject(body: Buffer): JsonObject {
  const text = body.toString("utf8").trim();
  if (text === "") return {};
  const parsed = parse(text);
  if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
    return parsed as JsonObject;
  }
  throw new GatewayError("invalid_json", "The request's body must be a JSON object, {…}.");
}

/** Throws `body_too_large` and `client_closed`. */
export async function readSmallBody(incoming: IncomingMessage, maxBytes: number): Promise<Buffer> {
  try {
    return await readBody(incoming, maxBytes);
  } catch (thrown) {
    if (!(thrown instanceof GatewayError && thrown.code === "body_too_large")) throw thrown;
    throw new GatewayError(
      "body_too_large",
      `The request's body has more than ${maxBytes} bytes, which is the limit of the rollout routes.`,
      { cause: thrown },
    );
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new GatewayError("invalid_json", "The request's body is not valid JSON.", { cause });
  }
}

/** Refuses fields that mean nothing here: a misspelt one would otherwise be taken for absent. */
export function allowOnly(body: JsonObject, allowed: readonly string[]): void {
  const strangers = Object.keys(body).filter((name) => !allowed.includes(name));
  if (strangers.length === 0) return;
  const list = allowed.map((name) => `\`${name}\``).join(", ");
  throw new GatewayError(
    "invalid_request",
    `The request's body has ${fieldList(strangers)}, which mean nothing here; allowed are ${list}.`,
    { param: strangers[0] ?? "" },
  );
}

/** At most five of them, each at most 40 characters: they are the caller's text. */
export function fieldList(names: readonly string[]): string {
  const shown = names.slice(0, 5).map((name) => JSON.stringify(name.slice(0, 40)));
  const rest = names.length > shown.length ? ` and ${names.length - shown.length} more` : "";
  return `${names.length === 1 ? "the field" : "the fields"} ${shown.join(", ")}${rest}`;
}
