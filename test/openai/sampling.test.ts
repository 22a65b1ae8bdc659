import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { objectMembers } from "../../src/openai/json-members.ts";
import { readChatRequest } from "../../src/openai/request.ts";
import { enforceSampling, type SamplingParameters } from "../../src/openai/sampling.ts";

function shape(parameters: SamplingParameters, text: string) {
  const body = Buffer.from(text);
  const shaped = enforceSampling(parameters, readChatRequest(body).parsed, body);
  return { ...shaped, text: shaped.body.toString(), same: shaped.body === body };
}

describe("sampling parameters in a body", () => {
  it("without any, the very same buffer goes on", () => {
    expect(shape({}, '{ "temperature": 0.7 }')).toMatchObject({ same: true, changes: [] });
  });

  it("that has them already, the very same buffer goes on", () => {
    const parameters = { temperature: 0, topP: 1, maxTokens: 100, model: "default" };
    const text =
      '{"temperature": 0.0, "top_p": 1, "max_tokens": 99, "max_completion_tokens": 100, "model": "default"}';
    expect(shape(parameters, text)).toMatchObject({ same: true, changes: [] });
  });

  it.each<[string, SamplingParameters, string, string]>([
    ["temperature is replaced", { temperature: 0 }, '{"temperature":0.7}', '{"temperature":0}'],
    ["top_p is replaced", { topP: 0.9 }, '{"top_p":1}', '{"top_p":0.9}'],
    ["the model is renamed", { model: "d" }, '{"model":"gpt-4o"}', '{"model":"d"}'],
    ["null is no value", { temperature: 1 }, '{"temperature":null}', '{"temperature":1}'],
    ["what is absent is added", { temperature: 1 }, '{"a":1}', '{"temperature":1,"a":1}'],
    [
      "an empty object gets no comma",
      { temperature: 1, topP: 1 },
      "{ }",
      '{"temperature":1,"top_p":1 }',
    ],
    ["a larger max_tokens is cut", { maxTokens: 512 }, '{"max_tokens":4096}', '{"max_tokens":512}'],
    [
      "a larger max_completion_tokens is cut and no max_tokens added",
      { maxTokens: 5 },
      '{"max_completion_tokens":9}',
      '{"max_completion_tokens":5}',
    ],
    [
      "both are cut where both are there",
      { maxTokens: 5 },
      '{"max_tokens":6,"max_completion_tokens":9}',
      '{"max_tokens":5,"max_completion_tokens":5}',
    ],
    [
      "max_tokens is added where neither is there",
      { maxTokens: 5 },
      '{"a":1}',
      '{"max_tokens":5,"a":1}',
    ],
    [
      "a name in a nested object is none of ours",
      { temperature: 0 },
      '{"tools":[{"temperature":1}],"temperature":1}',
      '{"tools":[{"temperature":1}],"temperature":0}',
    ],
    [
      "an escaped name is the name",
      { temperature: 0 },
      String.raw`{"temper\u0061ture":1}`,
      String.raw`{"temper\u0061ture":0}`,
    ],
    [
      "a repeated name is replaced everywhere",
      { temperature: 0 },
      '{"temperature":1,"temperature":2}',
      '{"temperature":0,"temperature":0}',
    ],
    [
      "blanks stay",
      { temperature: 0 },
      ' {\n\t"temperature" : 1 ,\r\n "a" : 2 } ',
      ' {\n\t"temperature" : 0 ,\r\n "a" : 2 } ',
    ],
    [
      "integers beyond 2^53 stay",
      { temperature: 0 },
      '{"maximum":9223372036854775807,"temperature":1}',
      '{"maximum":9223372036854775807,"temperature":0}',
    ],
    [
      "quotes and braces in texts mislead nobody",
      { temperature: 0 },
      String.raw`{"a":"}\\\"{,\\","temperature":1}`,
      String.raw`{"a":"}\\\"{,\\","temperature":0}`,
    ],
  ])("%s", (_what, parameters, before, after) => {
    expect(shape(parameters, before).text).toBe(after);
  });

  it("are named with what the agent asked for and what was sent", () => {
    const parameters = { temperature: 0, topP: 1, maxTokens: 10, model: "default" };
    const text = `{"model":"${"m".repeat(200)}","temperature":0.7,"top_p":[1]}`;
    expect(shape(parameters, text).changes).toEqual([
      { parameter: "model", asked: "m".repeat(100), sent: "default" },
      { parameter: "temperature", asked: 0.7, sent: 0 },
      { parameter: "top_p", asked: null, sent: 1 },
      { parameter: "max_tokens", asked: null, sent: 10 },
    ]);
  });

  it("leave every other byte alone, whatever the body", () => {
    const bytes = Buffer.from([
      ...Buffer.from('{"a":"'),
      0xff,
      0xfe,
      ...Buffer.from('","top_p":1}'),
    ]);
    const { body } = enforceSampling({ topP: 0.5 }, readChatRequest(bytes).parsed, bytes);
    expect(body.indexOf(Buffer.from([0xff, 0xfe]))).toBe(6);
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.integer({ min: 0, max: 3 }),
        (value, indent) => {
          const text = JSON.stringify(value, undefined, indent);
          const shaped = JSON.parse(shape({ temperature: 0.25 }, text).text) as object;
          expect(shaped).toEqual({ ...(JSON.parse(text) as object), temperature: 0.25 });
        },
      ),
    );
  });

  it("the members of an object are found where they lie", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const json = Buffer.from(JSON.stringify(value, undefined, 1));
        const found = objectMembers(json).map(({ name, start, end }) => [
          name,
          JSON.parse(json.toString("utf8", start, end)) as unknown,
        ]);
        expect(found).toEqual(Object.entries(JSON.parse(json.toString()) as object));
      }),
    );
  });
});
