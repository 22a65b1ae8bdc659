import { describe, expect, it } from "vitest";
import { assembleStream } from "../../src/openai/assemble-stream.ts";
import { createScriptedModel } from "../../src/simulator/models/scripted.ts";

function answerTo(request: object, script?: object): { whole: unknown; stream: Buffer } {
  const model = createScriptedModel({
    clock: () => 0,
    ...(script ? { script: script as never } : {}),
  });
  const body = Buffer.from(JSON.stringify(request));
  const call = { request, body, turn: 1, jobArn: "j", trajectoryId: "t" } as never;
  const whole = model.answer({ ...(call as object), stream: false } as never) as unknown as {
    body: Buffer;
  };
  const stream = model.answer({ ...(call as object), stream: true } as never) as unknown as {
    events: Iterable<Buffer>;
  };
  return { whole: JSON.parse(whole.body.toString()), stream: Buffer.concat([...stream.events]) };
}

const hello = {
  model: "m",
  messages: [{ role: "user", content: "Hallo 日本" }],
  stream_options: { include_usage: true },
};
const script = {
  steps: [
    {
      content: "Two tools:",
      tool_calls: [
        { name: "add", arguments: { a: 1, b: "a longer argument than one piece" } },
        { name: "sub" },
      ],
    },
  ],
};

/** What streams do not carry, or carry otherwise. */
function comparable(completion: unknown): unknown {
  const { choices, ...rest } = completion as { choices: { message: Record<string, unknown> }[] };
  const bare = choices.map(({ message, ...choice }) => {
    const { refusal: _refusal, tool_calls: calls, ...others } = message;
    const list = (calls as Record<string, unknown>[] | undefined)?.map(
      ({ index: _index, ...call }) => call,
    );
    const { logprobs: _logprobs, ...kept } = choice as Record<string, unknown>;
    return { ...kept, message: { ...others, ...(list ? { tool_calls: list } : {}) } };
  });
  return { ...rest, choices: bare };
}

describe("a streamed answer put together", () => {
  it.each([
    ["text", hello, undefined],
    ["several choices", { ...hello, n: 2 }, undefined],
    ["parallel tool calls", hello, script],
  ])("is the whole one: %s", (_what, request, steps) => {
    const { whole, stream } = answerTo(request, steps);
    const assembled = assembleStream(stream);
    expect(comparable(assembled)).toEqual(comparable(whole));
  });

  it("is put together from bare JSON chunks too", () => {
    const chunk = (content: string) =>
      JSON.stringify({ choices: [{ index: 0, delta: { content } }] });
    expect(assembleStream(Buffer.from(`${chunk("a")}${chunk("b")}`))).toMatchObject({
      choices: [{ message: { content: "ab" } }],
    });
  });

  it("is nothing where there is no chunk", () => {
    expect(assembleStream(Buffer.from(""))).toBeUndefined();
    expect(assembleStream(Buffer.from("data: [DONE]\n\n"))).toBeUndefined();
  });
});
