import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { expect, test } from "vitest";
import type { Model, ModelCall } from "../../src/simulator/models/model.ts";
import type { Script } from "../../src/simulator/models/script.ts";
import { createScriptedModel } from "../../src/simulator/models/scripted.ts";
import { sample, startTestSimulator } from "../support/simulator.ts";

type Completion = OpenAI.ChatCompletion;
type Chunk = OpenAI.ChatCompletionChunk;

const weatherTool = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: {
        city: { type: "string" },
        days: { type: "integer", minimum: 2 },
        unit: { enum: ["celsius", "fahrenheit"] },
        note: { type: "string" },
      },
      required: ["city", "days", "unit"],
    },
  },
};
const user = (content: unknown) => ({ role: "user", content });

async function ask(model: Model, request: object, turn = 1): Promise<string> {
  const stream = "stream" in request;
  const body = Buffer.from(JSON.stringify(request));
  const call: ModelCall = {
    body,
    request: request as Record<string, unknown>,
    stream,
    turn,
    signal: new AbortController().signal,
  };
  const answer = await model.answer(call);
  if (answer.kind === "whole") return Buffer.from(answer.body).toString("utf8");
  let text = "";
  for await (const event of answer.events) text += Buffer.from(event).toString("utf8");
  return text;
}

const scripted = (script?: Script) =>
  createScriptedModel({ clock: () => 1_000_000, ...(script === undefined ? {} : { script }) });

async function complete(request: object, script?: Script, turn = 1): Promise<Completion> {
  return JSON.parse(await ask(scripted(script), request, turn)) as Completion;
}

async function chunks(request: object, script?: Script): Promise<Chunk[]> {
  const text = await ask(scripted(script), { ...request, stream: true });
  const data = text.split("\n\n").filter((event) => event !== "");
  expect(data.pop()).toBe("data: [DONE]");
  return data.map((event) => JSON.parse(event.slice("data: ".length)) as Chunk);
}

test("the same request gets the same bytes, another request others", async () => {
  const request = { model: "m", messages: [user("one")] };
  expect(await ask(scripted(), request)).toBe(await ask(scripted(), request));
  expect(await ask(scripted(), request)).not.toBe(
    await ask(scripted(), { ...request, messages: [user("two")] }),
  );
});

test("a completion echoes the model and quotes the user", async () => {
  const completion = await complete({ model: "m-1", messages: [user("what is up?")] });
  expect(completion).toMatchObject({ object: "chat.completion", model: "m-1", created: 1000 });
  expect(completion.choices).toMatchObject([
    { index: 0, finish_reason: "stop", message: { role: "assistant" } },
  ]);
  expect(completion.choices[0]?.message.content).toContain("“what is up?”");
  const { prompt_tokens, completion_tokens, total_tokens } = completion.usage ?? {};
  expect(total_tokens).toBe((prompt_tokens ?? 0) + (completion_tokens ?? 0));
  expect(completion_tokens).toBeGreaterThan(5);
});

test("content blocks are read as their text", async () => {
  const content = [
    { type: "text", text: "in " },
    { type: "image_url", image_url: { url: "data:," } },
    { type: "text", text: "blocks" },
  ];
  const completion = await complete({ messages: [user(content)] });
  expect(completion.choices[0]?.message.content).toContain("“in blocks”");
});

test("a stream says what the completion says, the role first, usage only when asked for", async () => {
  const request = { model: "m", messages: [user("hi")] };
  const plain = await chunks(request);
  expect(plain[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "" });
  expect(plain.some((chunk) => chunk.usage !== undefined)).toBe(false);
  const withUsage = await chunks({ ...request, stream_options: { include_usage: true } });
  expect(withUsage.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 8 } });
  expect(withUsage.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
  const text = plain.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  expect(text).toBe((await complete(request)).choices[0]?.message.content);
  expect(plain.at(-1)?.choices[0]).toMatchObject({ delta: {}, finish_reason: "stop" });
});

test("max_tokens cuts the answer, and the reason says so", async () => {
  const completion = await complete({ messages: [user("hi")], max_completion_tokens: 3 });
  expect(completion.choices[0]?.finish_reason).toBe("length");
  expect(completion.usage?.completion_tokens).toBe(3);
});

test("n choices are answered, each under its index", async () => {
  const completion = await complete({ messages: [user("hi")], n: 3 });
  expect(completion.choices.map((choice) => choice.index)).toEqual([0, 1, 2]);
  const indexes = new Set(
    (await chunks({ messages: [user("hi")], n: 2 })).map((chunk) => chunk.choices[0]?.index),
  );
  expect([...indexes]).toEqual([0, 1]);
});

test("with tools, a user's message is answered by calling the first with arguments that fit", async () => {
  const request = { messages: [user("weather?")], tools: [weatherTool] };
  const [choice] = (await complete(request)).choices;
  expect(choice?.finish_reason).toBe("tool_calls");
  const [call] = choice?.message.tool_calls ?? [];
  expect(call).toMatchObject({ type: "function", function: { name: "get_weather" } });
  const given = call?.type === "function" ? call.function.arguments : "";
  expect(JSON.parse(given)).toEqual({ city: "example city", days: 2, unit: "celsius" });
  const parts = (await chunks(request)).flatMap(
    (chunk) => chunk.choices[0]?.delta.tool_calls ?? [],
  );
  expect(parts[0]).toMatchObject({ index: 0, function: { name: "get_weather", arguments: "" } });
  expect(parts.map((part) => part.function?.arguments).join("")).toBe(given);
});

test("tool_choice none and a tool's result are answered in words", async () => {
  const none = await complete({
    messages: [user("hi")],
    tools: [weatherTool],
    tool_choice: "none",
  });
  expect(none.choices[0]?.message.tool_calls).toBeUndefined();
  const result = await complete({
    messages: [user("hi"), { role: "tool", tool_call_id: "c", content: "21 degrees" }],
    tools: [weatherTool],
  });
  expect(result.choices[0]?.message.content).toContain("The tool answered: “21 degrees”");
});

test("a JSON response format is answered with JSON that fits", async () => {
  const schema = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] };
  const completion = await complete({
    messages: [user("hi")],
    response_format: { type: "json_schema", json_schema: { name: "s", schema } },
  });
  expect(completion.choices[0]?.message.content).toBe('{"ok":true}');
});

const script: Script = {
  steps: [
    { when: { turn: 2, contains: "sun" }, content: "Second and sunny." },
    {
      when: { contains: "rain" },
      content: "Looking.",
      tool_calls: [
        { name: "a", arguments: { x: "é" }, id: "call_fixed" },
        { name: "b", arguments: "not json" },
      ],
    },
    { when: { turn: 3 }, content: "Third.", finish_reason: "content_filter" },
  ],
};

test("the first step of a script that matches is the answer, else the built-in one", async () => {
  const at = async (turn: number, text: string) =>
    (await complete({ messages: [user(text)] }, script, turn)).choices[0];
  expect((await at(2, "the sun"))?.message.content).toBe("Second and sunny.");
  expect((await at(1, "the sun"))?.message.content).toContain("The scripted model heard");
  expect(await at(3, "x")).toMatchObject({ finish_reason: "content_filter" });
  expect((await at(9, "rain"))?.message).toMatchObject({
    content: "Looking.",
    tool_calls: [
      { id: "call_fixed", function: { name: "a", arguments: '{"x":"é"}' } },
      { function: { name: "b", arguments: "not json" } },
    ],
  });
});

test("parallel tool calls stream under their own indexes", async () => {
  const parts = (await chunks({ messages: [user("rain")] }, script)).flatMap(
    (chunk) => chunk.choices[0]?.delta.tool_calls ?? [],
  );
  const argumentsOf = (index: number) =>
    parts.filter((part) => part.index === index).map((part) => part.function?.arguments);
  expect(argumentsOf(0).join("")).toBe('{"x":"é"}');
  expect(argumentsOf(1).join("")).toBe("not json");
});

test("a script comes from a YAML or JSON file, and turns are the trajectory's", async () => {
  const folder = await mkdtemp(join(tmpdir(), "script-"));
  const scriptFile = join(folder, "script.yaml");
  await writeFile(
    scriptFile,
    "steps:\n  - when: {turn: 2}\n    content: zwei\n  - content: other\n",
  );
  await using simulator = await startTestSimulator({ model: { kind: "scripted", scriptFile } });
  const said = [];
  for (let turn = 1; turn <= 3; turn += 1) {
    const completion = (await (await sample(simulator, "t")).json()) as Completion;
    said.push(completion.choices[0]?.message.content);
  }
  expect(said).toEqual(["other", "zwei", "other"]);
  await rm(folder, { recursive: true });
});

test("a script that is not one is refused at the start, with what is wrong", async () => {
  const wrong = { steps: [{ when: { trun: 1 }, content: "x" }, {}] } as unknown as Script;
  await expect(startTestSimulator({ model: { kind: "scripted", script: wrong } })).rejects.toThrow(
    /content, tool_calls or both[\s\S]*trun/u,
  );
  await expect(
    startTestSimulator({ model: { kind: "scripted", scriptFile: "/nowhere.yaml" } }),
  ).rejects.toThrow("/nowhere.yaml cannot be read");
});

test("the official client reads the stream as SSE", async () => {
  await using simulator = await startTestSimulator({ stream: { wire: "sse" } });
  const client = new OpenAI({
    apiKey: "unused",
    baseURL: simulator.url,
    fetch: () => sample(simulator, "t", { stream: true }),
  });
  const stream = await client.chat.completions.create({
    model: "test-model",
    messages: [{ role: "user", content: "hello" }],
    stream: true,
  });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  expect(text).toContain("“hello”");
});
