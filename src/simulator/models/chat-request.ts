/** What the scripted model reads of a chat-completion request. Tolerant: an odd field reads as absent. */
import { exampleFromSchema } from "./example-from-schema.ts";
import type { ScriptToolCall } from "./script.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface ChatRequest {
  readonly model: string;
  /** Text of all messages, for counting. */
  readonly messagesText: string;
  readonly lastRole: string;
  readonly lastText: string;
  readonly choices: number;
  readonly maxTokens: number;
  readonly includeUsage: boolean;
  /** A call of the first or the chosen tool, where the request asks for one. */
  readonly toolCall: ScriptToolCall | undefined;
  /** JSON that fits `response_format`, where the request asks for JSON. */
  readonly json: string | undefined;
}

/** Most choices answered, whatever `n` says. */
const maxChoices = 16;

export function readChatRequest(request: Fields): ChatRequest {
  const messages = listOf(request["messages"]).map(fieldsOf);
  const last = messages.at(-1) ?? {};
  const lastRole = textOf(last["role"]) ?? "user";
  return {
    model: textOf(request["model"]) ?? "scripted",
    messagesText: JSON.stringify(request["messages"] ?? ""),
    lastRole,
    lastText: contentText(last["content"]),
    choices: Math.min(Math.max(countOf(request["n"]) ?? 1, 1), maxChoices),
    maxTokens:
      countOf(request["max_completion_tokens"]) ??
      countOf(request["max_tokens"]) ??
      Number.POSITIVE_INFINITY,
    includeUsage: fieldsOf(request["stream_options"])["include_usage"] === true,
    toolCall: lastRole === "user" ? wantedToolCall(request) : undefined,
    json: wantedJson(fieldsOf(request["response_format"])),
  };
}

function wantedToolCall(request: Fields): ScriptToolCall | undefined {
  const choice = request["tool_choice"];
  if (choice === "none") return;
  const named = textOf(fieldsOf(fieldsOf(choice)["function"])["name"]);
  const functions = listOf(request["tools"]).map((tool) => fieldsOf(fieldsOf(tool)["function"]));
  const wanted = functions.find((each) =>
    named === undefined ? each["name"] !== undefined : each["name"] === named,
  );
  const name = textOf(wanted?.["name"]);
  if (wanted === undefined || name === undefined) return;
  const example = exampleFromSchema(wanted["parameters"] ?? { type: "object" });
  return { name, arguments: JSON.stringify(example ?? {}) };
}

function wantedJson(format: Fields): string | undefined {
  if (format["type"] === "json_object") return '{"answer":"scripted"}';
  if (format["type"] !== "json_schema") return;
  return JSON.stringify(exampleFromSchema(fieldsOf(format["json_schema"])["schema"]));
}

/** A message's content as text: a string, or the text parts of content blocks. */
function contentText(content: unknown): string {
  if (typeof content === "string") return content;
  return listOf(content)
    .map((part) => textOf(fieldsOf(part)["text"]) ?? "")
    .join("");
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function countOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value > 0 ? value : undefined;
}
