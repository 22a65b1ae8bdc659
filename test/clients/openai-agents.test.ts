import { Agent, OpenAIProvider, Runner, tool } from "@openai/agents";
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

const parameters = z.object({ a: z.number(), b: z.number() });

const agent = new Agent({
  name: "Calculator",
  instructions: "Calculate with the tools.",
  model,
  tools: [
    tool({ name: "add", description: "adds", parameters, execute: tools.add }),
    tool({ name: "multiply", description: "multiplies", parameters, execute: tools.multiply }),
  ],
});

/** Each run has a provider of its own, since each rollout has a base URL of its own. */
async function run(options: Partial<Pointed> & { useResponses?: boolean }, stream: boolean) {
  const modelProvider = new OpenAIProvider({ useResponses: false, ...options });
  const runner = new Runner({ modelProvider, tracingDisabled: true });
  if (!stream) return (await runner.run(agent, question)).finalOutput;
  const result = await runner.run(agent, question, { stream: true });
  await result.completed;
  return result.finalOutput;
}

const opening = "system user";

describe("the OpenAI Agents SDK with chat completions", () => {
  test.each([false, true])(
    "has every step of an agent captured as one turn (stream %s)",
    async (stream) => {
      await using pair = await startArithmetic();
      expect(await run(rolloutOf(pair, "agents"), stream)).toBe(answer);
      expect(capturedTurns(pair, "agents")).toEqual(expectedTurns({ stream, opening }));
    },
  );

  test("reads its base URL and key from the environment", async () => {
    await using pair = await startArithmetic();
    stubEnvironment(pair, "by-environment");
    expect(await run({}, false)).toBe(answer);
    expect(capturedTurns(pair, "by-environment")).toEqual(expectedTurns({ opening }));
  });

  test("keeps agents that run at the same time apart", async () => {
    await using pair = await startArithmetic();
    const ids = ["a", "b/c", "d e", "e%20f"];
    await Promise.all(ids.map((id, index) => run(rolloutOf(pair, id), index % 2 === 0)));
    for (const [index, id] of ids.entries()) {
      expect(capturedTurns(pair, id)).toEqual(expectedTurns({ stream: index % 2 === 0, opening }));
    }
  });
});

describe("the OpenAI Agents SDK as it comes", () => {
  test("is told to switch to chat completions when it calls /responses", async () => {
    await using pair = await startArithmetic();
    const error = await run({ ...rolloutOf(pair, "agents"), useResponses: true }, false).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ status: 404 });
    expect(String(error)).toContain("chat_completions");
    expect(pair.simulator.trajectories()).toEqual([]);
  });
});
