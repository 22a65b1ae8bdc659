/** What the gateway needs to know of a chat completion request. Everything else is the model's business. */
import { GatewayError } from "../errors.ts";

export interface ChatRequest {
  /** Only a literal `true` asks for a stream. */
  readonly stream: boolean;
  /** The body, parsed: the only parse there is, for whoever has to look into it. */
  readonly parsed: Readonly<Record<string, unknown>>;
}

/**
 * Reads a request body once. Tolerant of everything but what no model could take: bytes that are no
 * JSON object.
 */
export function readChatRequest(body: Buffer): ChatRequest {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new GatewayError(
      "invalid_json",
      body.length === 0
        ? "The request has no body. Send an OpenAI chat completion request as JSON."
        : `The request body is not valid JSON (${describe(cause)}).`,
      { cause },
    );
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new GatewayError(
      "invalid_request",
      `The request body is ${kindOf(parsed)}, not a JSON object. Send an OpenAI chat completion request.`,
    );
  }
  const members = parsed as Readonly<Record<string, unknown>>;
  return { stream: members["stream"] === true, parsed: members };
}

/** V8's message quotes the body, which may hold anything; only the position is passed on. */
function describe(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : "";
  const position = /at position \d+/.exec(message)?.[0];
  if (position) return `unexpected character ${position}`;
  return message.startsWith("Unexpected end") ? "it ends too early" : "unexpected character";
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}
