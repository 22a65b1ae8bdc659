import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, isStepCount, type LanguageModel, streamText, tool } from "ai";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import {
  answer,
  capturedTurns,
  expectedTurns,
  model,
  type Pointed,
  question,
  rolloutOf,
  startArithmetic,
  stubEnvironment,
  tools,
} from "./arithmetic.ts";

const operands = z.object({ a: z.number(), b: z.number() });

function conversation(languageModel: LanguageModel) {
  return {
    model: languageModel,
    prompt: question,
    stopWhen: isStepCount(5),
    tools: {
      add: tool({ description: "adds", inputSchema: operands, execute: tools.add }),
      multiply: tool({ description: "multiplies", inputSchema: operands, execute: tools.multiply }),
    },
  };
}

async function run(languageModel: LanguageModel, stream: boolean): Promise<string> {
  if (!stream) return (await generateText(conversation(languageModel))).text;
  let text = "";
  for await (const part of streamText(conversation(languageModel)).textStream) text += part;
  return text;
}

const providers: [name: string, make: (pointed: Pointed) => LanguageModel][] = [
  ["@ai-sdk/openai-compatible", (to) => createOpenAICompatible({ name: "turnpike", ...to })(model)],
  ["@ai-sdk/openai's chat()", (to) => createOpenAI(to).chat(model)],
];

describe.each(providers)("the Vercel AI SDK with %s", (_name, make) => {
  test.each([false, true])(
    "has every step of a tool loop captured as one turn (stream %s)",
    async (stream) => {
      await using pair = await startArithmetic();
      expect(await run(make(rolloutOf(pair, "vercel")), stream)).toBe(answer);
      expect(capturedTurns(pair, "vercel")).toEqual(expectedTurns({ stream }));
    },
  );

  test("keeps agents that run at the same time apart", async () => {
    await using pair = await startArithmetic();
    const ids = ["a", "b/c", "d e", "e%20f"];
    await Promise.all(ids.map((id, index) => run(make(rolloutOf(pair, id)), index % 2 === 0)));
    for (const [index, id] of ids.entries()) {
      expect(capturedTurns(pair, id)).toEqual(expectedTurns({ stream: index % 2 === 0 }));
    }
  });
});

describe("the Vercel AI SDK's openai()", () => {
  test("reads its base URL and key from the environment for chat()", async () => {
    await using pair = await startArithmetic();
    stubEnvironment(pair, "by-environment");
    expect(await run(createOpenAI().chat(model), false)).toBe(answer);
    expect(capturedTurns(pair, "by-environment")).toEqual(expectedTurns());
  });

  test("is told to use chat() when it calls /responses", async () => {
    await using pair = await startArithmetic();
    const error = await run(createOpenAI(rolloutOf(pair, "vercel"))(model), false).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(APICallError);
    expect((error as APICallError).statusCode).toBe(404);
    expect((error as APICallError).message).toContain("chat(");
    expect(pair.simulator.trajectories()).toEqual([]);
  });
});
