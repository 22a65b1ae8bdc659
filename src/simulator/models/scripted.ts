/**
 * The built-in model: answers from a script or, without one, from the request alone; the same request
 * in the same turn always gets the same words. Shapes are OpenAI's chat.completion and
 * chat.completion.chunk.
 */
import { hash } from "node:crypto";
import { type ChatRequest, readChatRequest } from "./chat-request.ts";
import type { Model, ModelCall } from "./model.ts";
import { matchingStep, type Script, type ScriptToolCall } from "./script.ts";

export interface ScriptedModelOptions {
  readonly script?: Script;
  /** For `created`. */
  readonly clock: () => number;
}

interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

interface Choice {
  readonly content: string | null;
  readonly toolCalls: readonly ToolCall[];
  readonly finishReason: string;
}

interface Completion {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly choices: readonly Choice[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  };
}

export function createScriptedModel(options: ScriptedModelOptions): Model {
  return {
    answer(call) {
      const request = readChatRequest(call.request);
      const completion = complete(call, request, options);
      if (call.stream) {
        const events = streamEvents(completion, request.includeUsage);
        return { kind: "stream", contentType: "text/event-stream; charset=utf-8", events };
      }
      return {
        kind: "whole",
        contentType: "application/json",
        body: Buffer.from(JSON.stringify(wholeCompletion(completion))),
      };
    },
  };
}

function complete(
  call: ModelCall,
  request: ChatRequest,
  options: ScriptedModelOptions,
): Completion {
  const digest = hash("sha256", call.body, "hex").slice(0, 24);
  const id = `chatcmpl-${digest}-${call.turn}`;
  const choices = Array.from({ length: request.choices }, (_, index) =>
    choose(`${digest}${call.turn}${index}`, { call, request, script: options.script }),
  );
  const promptTokens = Math.ceil(Buffer.byteLength(request.messagesText) / 4);
  const completionTokens = choices.reduce((sum, choice) => sum + tokensOf(choice), 0);
  return {
    id,
    created: Math.floor(options.clock() / 1000),
    model: request.model,
    choices,
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    },
  };
}

interface Situation {
  readonly call: ModelCall;
  readonly request: ChatRequest;
  readonly script: Script | undefined;
}

function choose(seed: string, { call, request, script }: Situation): Choice {
  const step = script === undefined ? undefined : matchingStep(script, call.turn, request.lastText);
  if (step !== undefined) {
    const toolCalls = (step.tool_calls ?? []).map((each, index) => toolCall(each, seed, index));
    const reason = step.finish_reason ?? (toolCalls.length > 0 ? "tool_calls" : "stop");
    return limited({ content: step.content ?? null, toolCalls, finishReason: reason }, request);
  }
  if (request.toolCall !== undefined) {
    const toolCalls = [toolCall(request.toolCall, seed, 0)];
    return { content: null, toolCalls, finishReason: "tool_calls" };
  }
  const content = request.json ?? builtInText(request, call.turn);
  return limited({ content, toolCalls: [], finishReason: "stop" }, request);
}

/** Quotes what it was told, so that a reader sees which request it answers; has characters of every UTF-8 length. */
function builtInText(request: ChatRequest, turn: number): string {
  const quote = [...request.lastText].slice(0, 200).join("");
  const what = request.lastRole === "tool" ? "The tool answered" : "The scripted model heard";
  return `${what}: “${quote}”. This is turn ${turn} — déjà vu is fine, 日本語 too 🚦.`;
}

function toolCall(call: ScriptToolCall, seed: string, index: number): ToolCall {
  const given = call.arguments ?? {};
  return {
    id: call.id ?? `call_${hash("sha256", `${seed}:${index}`, "hex").slice(0, 24)}`,
    type: "function",
    function: {
      name: call.name,
      arguments: typeof given === "string" ? given : JSON.stringify(given),
    },
  };
}

/** Cuts the text where max_tokens says, as a model would. */
function limited(choice: Choice, request: ChatRequest): Choice {
  const words = wordsOf(choice.content ?? "");
  if (words.length <= request.maxTokens) return choice;
  return {
    content: words.slice(0, request.maxTokens).join(""),
    toolCalls: [],
    finishReason: "length",
  };
}

/** A word with the space after it counts as a token. */
function wordsOf(text: string): string[] {
  return text.match(/\S+\s*|\s+/gu) ?? [];
}

function tokensOf(choice: Choice): number {
  const callTokens = choice.toolCalls.map((call) =>
    Math.ceil((call.function.name.length + call.function.arguments.length) / 4),
  );
  return callTokens.reduce((sum, tokens) => sum + tokens, wordsOf(choice.content ?? "").length);
}

function wholeCompletion(completion: Completion): object {
  return {
    id: completion.id,
    object: "chat.completion",
    created: completion.created,
    model: completion.model,
    choices: completion.choices.map((choice, index) => ({
      index,
      message: {
        role: "assistant",
        content: choice.content,
        refusal: null,
        ...(choice.toolCalls.length > 0 ? { tool_calls: choice.toolCalls } : {}),
      },
      logprobs: null,
      finish_reason: choice.finishReason,
    })),
    usage: completion.usage,
  };
}

/** The role first, then word by word, then why it ended; usage only when asked for, in a chunk without choices. */
function* streamEvents(completion: Completion, includeUsage: boolean): Generator<Buffer> {
  const head = {
    id: completion.id,
    object: "chat.completion.chunk",
    created: completion.created,
    model: completion.model,
  };
  const usage = includeUsage ? { usage: null } : {};
  for (const [index, choice] of completion.choices.entries()) {
    for (const [delta, finishReason] of deltasOf(choice)) {
      const choices = [{ index, delta, logprobs: null, finish_reason: finishReason }];
      yield sseEvent(JSON.stringify({ ...head, choices, ...usage }));
    }
  }
  if (includeUsage) {
    yield sseEvent(JSON.stringify({ ...head, choices: [], usage: completion.usage }));
  }
  yield sseEvent("[DONE]");
}

function* deltasOf(choice: Choice): Generator<[delta: object, finishReason: string | null]> {
  yield [{ role: "assistant", content: choice.content === null ? null : "" }, null];
  for (const word of wordsOf(choice.content ?? "")) yield [{ content: word }, null];
  for (const [index, call] of choice.toolCalls.entries()) {
    const start = { name: call.function.name, arguments: "" };
    yield [{ tool_calls: [{ index, id: call.id, type: "function", function: start }] }, null];
    for (const part of call.function.arguments.match(/.{1,12}/gsu) ?? []) {
      yield [{ tool_calls: [{ index, function: { arguments: part } }] }, null];
    }
  }
  yield [{}, choice.finishReason];
}

function sseEvent(data: string): Buffer {
  return Buffer.from(`data: ${data}\n\n`, "utf8");
}
