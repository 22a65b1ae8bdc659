/** A streamed answer → the chat.completion it adds up to; for whoever judges a trajectory. */
import { createParser } from "eventsource-parser";
import { BareJsonChunks, payloadForm } from "./bare-json.ts";

type Json = Record<string, unknown>;

/** Tolerant: what is no chunk is left out. `undefined` where there is none at all. */
export function assembleStream(bytes: Buffer): unknown {
  const chunks = chunksOf(bytes);
  const [first] = chunks;
  if (first === undefined) return undefined;
  const choices = new Map<unknown, Json>();
  let whole: Json = {};
  for (const chunk of chunks) {
    const { choices: list, ...rest } = chunk;
    whole = {
      ...whole,
      ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null)),
    };
    for (const choice of Array.isArray(list) ? (list as Json[]) : []) addChoice(choices, choice);
  }
  return { ...whole, object: "chat.completion", choices: [...choices.values()] };
}

function chunksOf(bytes: Buffer): Json[] {
  const text = payloadForm(bytes) === "bare-json" ? new BareJsonChunks().push(bytes) : bytes;
  const chunks: Json[] = [];
  const parser = createParser({
    onEvent({ data }) {
      const value = parse(data);
      if (isObject(value)) chunks.push(value);
    },
  });
  parser.feed(text.toString("utf8"));
  return chunks;
}

function addChoice(choices: Map<unknown, Json>, choice: Json): void {
  const { index = 0, delta, finish_reason: reason } = choice;
  const known = choices.get(index) ?? { index, message: {}, finish_reason: null };
  choices.set(index, known);
  if (reason !== null && reason !== undefined) known["finish_reason"] = reason;
  if (isObject(delta)) merge(known["message"] as Json, delta);
}

function merge(into: Json, delta: Json): void {
  for (const [name, value] of Object.entries(delta)) into[name] = merged(name, into[name], value);
}

/** Texts are put together, lists by their members' `index`, objects member by member; anything else is the last. */
function merged(name: string, known: unknown, value: unknown): unknown {
  if (value === null || value === undefined) return known ?? null;
  if (typeof value === "string" && typeof known === "string") {
    return wholeTexts.has(name) ? value : known + value;
  }
  if (Array.isArray(value)) return mergeList(Array.isArray(known) ? known : [], value);
  if (!isObject(value)) return value;
  if (!isObject(known)) return structuredClone(value);
  merge(known, value);
  return known;
}

/** Repeated in every chunk by some servers. */
const wholeTexts: ReadonlySet<string> = new Set(["role", "id", "type"]);

function mergeList(known: unknown[], added: readonly unknown[]): unknown[] {
  for (const part of added) {
    const index = isObject(part) ? part["index"] : undefined;
    const there = known.find(
      (one) => isObject(one) && index !== undefined && one["index"] === index,
    );
    if (isObject(there) && isObject(part)) merge(there, part);
    else known.push(isObject(part) ? structuredClone(part) : part);
  }
  return known;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
