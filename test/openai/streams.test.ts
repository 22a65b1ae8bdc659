import { createParser } from "eventsource-parser";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BareJsonChunks, payloadForm } from "../../src/openai/bare-json.ts";
import { EventBoundary } from "../../src/openai/event-boundary.ts";
import { SseTail } from "../../src/openai/sse-tail.ts";
import { findUsage } from "../../src/openai/usage.ts";
import { slice } from "../support/frames.ts";

const chunk = (more: object) => JSON.stringify({ object: "chat.completion.chunk", ...more });
const event = (data: string) => `data: ${data}\n\n`;
const finish = chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
const usage = chunk({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 34 } });

function endingOf(text: string, sliceBytes = 7) {
  const tail = new SseTail();
  for (const piece of slice(Buffer.from(text), sliceBytes)) tail.push(piece);
  return tail.ending();
}

describe("the end of a stream", () => {
  test("with [DONE] is whole, and its usage is read, whatever the slicing", () => {
    const text = event(finish) + event(usage) + event("[DONE]");
    for (const bytes of [1, 2, 5, 64, 10_000]) {
      expect(endingOf(text, bytes)).toEqual({
        done: true,
        finished: true,
        failed: false,
        malformed: false,
        usage: { promptTokens: 12, completionTokens: 34 },
      });
    }
  });

  test("is found behind any amount of text before it", () => {
    const text = event(chunk({ choices: [{ delta: { content: "x".repeat(500) } }] })).repeat(200);
    expect(endingOf(text + event(usage) + event("[DONE]"), 1000)).toMatchObject({
      done: true,
      malformed: false,
      usage: { promptTokens: 12, completionTokens: 34 },
    });
  });

  test("with [DONE] but without the last blank line is whole too", () => {
    expect(endingOf(`${event(finish)}data: [DONE]`).done).toBe(true);
  });

  test("with CRLF line ends is understood", () => {
    expect(endingOf((event(finish) + event("[DONE]")).replaceAll("\n", "\r\n")).done).toBe(true);
  });

  test("without [DONE] is not done", () => {
    expect(endingOf(event(finish))).toMatchObject({ done: false, finished: true });
  });

  test("inside an event is malformed", () => {
    expect(endingOf(`${event(chunk({ choices: [] }))}data: {"choi`)).toMatchObject({
      done: false,
      malformed: true,
    });
  });

  test("with the model's own error is a failure, not a truncation", () => {
    expect(endingOf(event('{"error":{"message":"out of memory"}}'))).toMatchObject({
      done: false,
      failed: true,
    });
  });

  test("[DONE] quoted inside a chunk is not the end", () => {
    const quoting = chunk({ choices: [{ delta: { content: "data: [DONE]\n\n" } }] });
    expect(endingOf(event(quoting)).done).toBe(false);
  });
});

describe("the event boundary", () => {
  test("adds and drops no byte, and what it has let through always ends between two events", () => {
    const text = fc
      .array(
        fc.constantFrom(
          "data: a",
          "data: ü🌍",
          ": c",
          "event: x",
          "\n",
          "\n\n",
          "\r\n",
          "\r\n\r\n",
        ),
      )
      .map((parts) => Buffer.from(parts.join("")));
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 20 }), (bytes, sliceBytes) => {
        const boundary = new EventBoundary();
        const out: Buffer[] = [];
        for (const piece of slice(bytes, sliceBytes)) {
          const ready = boundary.push(piece);
          if (!ready || ready.length === 0) continue;
          out.push(ready);
          expect(Buffer.concat(out).toString("utf8")).toMatch(/(\n\n|\r\n\r\n)$/);
          expect(boundary.clean).toBe(true);
        }
        const rest = boundary.flush();
        if (rest) out.push(rest);
        expect(Buffer.concat(out).equals(bytes)).toBe(true);
      }),
    );
  });

  test("whole events pass without a copy", () => {
    const bytes = Buffer.from("data: a\n\n");
    expect(new EventBoundary().push(bytes)).toBe(bytes);
  });

  test("an event too long to hold back passes on, and the boundary says it is not clean until the event ends", () => {
    const boundary = new EventBoundary();
    const half = Buffer.alloc(200_000, "x");
    expect(boundary.push(half)).toBeUndefined();
    expect(boundary.push(half)?.length).toBe(400_000);
    expect(boundary.clean).toBe(false);
    expect(boundary.push(Buffer.from("x\n\n"))?.toString()).toBe("x\n\n");
    expect(boundary.clean).toBe(true);
  });
});

describe("bare JSON chunks", () => {
  test("are told from SSE by their first byte", () => {
    expect(payloadForm(Buffer.from(' \n{"a":1}'))).toBe("bare-json");
    expect(payloadForm(Buffer.from("data: {}"))).toBe("sse");
    expect(payloadForm(Buffer.from(": ping"))).toBe("sse");
    expect(payloadForm(Buffer.from(" \n"))).toBeUndefined();
  });

  test("become the same SSE events, whatever their values, separators and slicing", () => {
    const chunks = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { minLength: 1 });
    const separator = fc.constantFrom("", "\n", " ", "\r\n", ",");
    fc.assert(
      fc.property(
        chunks,
        separator,
        fc.integer({ min: 1, max: 30 }),
        fc.boolean(),
        (values, between, sliceBytes, pretty) => {
          const text = values
            .map((value) => JSON.stringify(value, undefined, pretty ? 2 : 0))
            .join(between);
          const parser = new BareJsonChunks();
          const out = slice(Buffer.from(text), sliceBytes).map((piece) => parser.push(piece));
          expect(parser.incomplete).toBe(false);
          expect(dataOf(Buffer.concat(out))).toEqual(
            values.map((value) => JSON.parse(JSON.stringify(value))),
          );
        },
      ),
    );
  });

  test("that stop inside an object are incomplete", () => {
    const parser = new BareJsonChunks();
    expect(parser.push(Buffer.from('{"a":"}')).length).toBe(0);
    expect(parser.incomplete).toBe(true);
  });

  test("know whether the model finished or said [DONE]", () => {
    const parser = new BareJsonChunks();
    parser.push(Buffer.from(`${finish}\n`));
    expect(parser.finished).toBe(true);
    expect(parser.sawDone).toBe(false);
    parser.push(Buffer.from("[DO"));
    parser.push(Buffer.from("NE]"));
    expect(parser.sawDone).toBe(true);
  });
});

describe("usage", () => {
  test("is read from a whole answer, wherever it stands", () => {
    const counts = { prompt_tokens: 7, completion_tokens: 8, total_tokens: 15 };
    const choices = [
      { message: { content: '"usage": {"prompt_tokens": 1, "completion_tokens": 2}' } },
    ];
    const expected = { promptTokens: 7, completionTokens: 8 };
    expect(findUsage(Buffer.from(JSON.stringify({ choices, usage: counts })))).toEqual(expected);
    expect(findUsage(Buffer.from(JSON.stringify({ usage: counts, choices: [] })))).toEqual(
      expected,
    );
  });

  test("is absent where the model gave none", () => {
    expect(findUsage(Buffer.from('{"choices":[],"usage":null}'))).toBeUndefined();
    expect(findUsage(Buffer.from("{}"))).toBeUndefined();
  });
});

function dataOf(sse: Buffer): unknown[] {
  const data: unknown[] = [];
  const parser = createParser({ onEvent: ({ data: text }) => data.push(JSON.parse(text)) });
  parser.feed(sse.toString("utf8"));
  return data;
}
