/** A prompt: a text, a conversation, or a text that is a conversation in JSON (service.md, "What the trainer sends"). */
import { isObject, type JsonObject } from "./fields.ts";

/** An OpenAI message as it came; only that it has a role is known. */
export type Message = JsonObject & { readonly role: string };

export type Prompt = string | readonly Message[];

/** `undefined` for what is neither text nor conversation. */
export function readPrompt(value: unknown): Prompt | undefined {
  if (typeof value === "string") return conversationIn(value) ?? value;
  return messagesIn(value);
}

/** A text that only looks like JSON, or is JSON of another kind, stays a text. */
function conversationIn(text: string): readonly Message[] | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return messagesIn(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** A list of messages, bare or under `messages` as in a chat completion request. */
function messagesIn(value: unknown): readonly Message[] | undefined {
  const list: unknown = isObject(value) ? value["messages"] : value;
  if (!Array.isArray(list) || list.length === 0) return undefined;
  return list.every(isMessage) ? list : undefined;
}

function isMessage(value: unknown): value is Message {
  return isObject(value) && typeof value["role"] === "string";
}
