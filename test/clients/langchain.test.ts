import { AIMessageChunk, HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { createAgent } from "langchain";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import {
  answer,
  capturedTurns,
  expectedTurns,
  model,
  question,
  rolloutOf,
  startArithmetic,
  stubEnvironment,
  tools,
} from "./arithmetic.ts";

const schema = z.object({ a: z.number(), b: z.number() });

/**
 * Streams as an agent's user does. Not with `streaming: true` and `invoke`: that fetches a token vocabulary from
 * tiktoken.pages.dev after each answer, whatever the base URL is.
 */
async function run(chat: ChatOpenAI, stream: boolean): Promise<string> {
  const agent = createAgent({
    model: chat,
    tools: [
      tool(tools.add, { name: "add", description: "adds", schema }),
      tool(tools.multiply, { name: "multiply", description: "multiplies", schema }),
    ],
  });
  const input = { messages: [new HumanMessage(question)] };
  if (!stream) return (await agent.invoke(input)).messages.at(-1)?.text ?? "";
  let text = "";
  for await (const [message] of await agent.stream(input, { streamMode: "messages" })) {
    if (AIMessageChunk.isInstance(message)) text += message.text;
  }
  return text;
}

describe("LangChain", () => {
  test.each([false, true])(
    "has every step of an agent captured as one turn (stream %s)",
    async (stream) => {
      await using pair = await startArithmetic();
      const { baseURL, apiKey } = rolloutOf(pair, "chain");
      const chat = new ChatOpenAI({ model, apiKey, configuration: { baseURL } });
      expect(await run(chat, stream)).toBe(answer);
      expect(capturedTurns(pair, "chain")).toEqual(expectedTurns({ stream }));
    },
  );

  test("reads its base URL and key from the environment", async () => {
    await using pair = await startArithmetic();
    stubEnvironment(pair, "by-environment");
    expect(await run(new ChatOpenAI({ model }), false)).toBe(answer);
    expect(capturedTurns(pair, "by-environment")).toEqual(expectedTurns());
  });

  test("keeps agents that run at the same time apart", async () => {
    await using pair = await startArithmetic();
    const ids = ["a", "b/c", "d e", "e%20f"];
    await Promise.all(
      ids.map((id, index) => {
        const { baseURL, apiKey } = rolloutOf(pair, id);
        return run(new ChatOpenAI({ model, apiKey, configuration: { baseURL } }), index % 2 === 0);
      }),
    );
    for (const [index, id] of ids.entries()) {
      expect(capturedTurns(pair, id)).toEqual(expectedTurns({ stream: index % 2 === 0 }));
    }
  });
});
