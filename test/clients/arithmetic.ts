/**
 * The conversation every client here is put through: two additions at once, then a multiplication that needs them,
 * then the answer. The script (arithmetic.json, which the Python clients share) looks for the tools' results, so a
 * client that loses one gets another answer.
 */
import { join } from "node:path";
import { afterEach, expect, vi } from "vitest";
import { type Pair, startPair } from "../support/gateway.ts";
import { testJobArn } from "../support/simulator.ts";

export const question = "What is (2 + 3) * (10 + 20)?";
export const answer = "It is 150.";
export const model = "test-model";

const scriptFile = join(import.meta.dirname, "arithmetic.json");

export interface Operands {
  readonly a: number;
  readonly b: number;
}

/** The tools, as functions; each client wraps them in its own way. */
export const tools = {
  add: ({ a, b }: Operands) => `sum=${a + b}`,
  multiply: ({ a, b }: Operands) => `product=${a * b}`,
} as const;

/**
 * A gateway in front of a simulator that knows the conversation, its stream cut where nothing ends. From here on
 * `fetch` reaches this machine only, and the test fails when the client tried anything else.
 */
export function startArithmetic(): Promise<Pair> {
  vi.stubGlobal("fetch", fetchHere);
  return startPair({
    simulator: { model: { kind: "scripted", scriptFile }, stream: { sliceBytes: 7 } },
  });
}

const fetchAnywhere = globalThis.fetch;
const outsideCalls: string[] = [];

const fetchHere: typeof fetch = (input, init) => {
  const url = new URL(input instanceof Request ? input.url : input);
  if (url.hostname === "127.0.0.1") return fetchAnywhere(input, init);
  outsideCalls.push(url.href);
  return Promise.reject(new Error(`${url.href} is not on this machine`));
};

afterEach(() => {
  expect(outsideCalls.splice(0)).toEqual([]);
});

export interface Pointed {
  readonly baseURL: string;
  readonly apiKey: string;
}

/** What an agent is told of its rollout. */
export function rolloutOf({ gateway }: Pair, trajectoryId: string): Pointed {
  return {
    baseURL: `${gateway.url}/rollouts/${encodeURIComponent(trajectoryId)}/v1`,
    apiKey: `rollout-${trajectoryId}`,
  };
}

/** Sets what an unmodified agent reads; vitest takes it back after the test. */
export function stubEnvironment(pair: Pair, trajectoryId: string): void {
  const { baseURL, apiKey } = rolloutOf(pair, trajectoryId);
  vi.stubEnv("OPENAI_BASE_URL", baseURL);
  vi.stubEnv("OPENAI_API_KEY", apiKey);
}

interface Message {
  readonly role: string;
  readonly content: string | null | readonly { readonly text?: string }[];
}

/** What the simulator captured, oldest first: per turn the operation, who spoke, and what the tools had said. */
export function capturedTurns({ simulator }: Pair, trajectoryId: string) {
  const turns = simulator.trajectory(testJobArn, trajectoryId)?.turns ?? [];
  return turns.map(({ sequence, operation, outcome, request }) => {
    if (!("text" in request.body)) throw new Error("the request was not kept as text");
    const { messages } = JSON.parse(request.body.text) as { messages: readonly Message[] };
    return {
      sequence,
      operation,
      outcome,
      roles: messages.map(({ role }) => role).join(" "),
      results: messages.filter(({ role }) => role === "tool").map(textOf),
    };
  });
}

/** What `capturedTurns` gives for the whole conversation; `opening` are the roles before the first answer. */
export function expectedTurns({ stream = false, opening = "user" } = {}) {
  const operation = stream ? "SampleWithResponseStream" : "Sample";
  const second = `${opening} assistant tool tool`;
  const turns = [
    { roles: opening, results: [] },
    { roles: second, results: ["sum=5", "sum=30"] },
    { roles: `${second} assistant tool`, results: ["sum=5", "sum=30", "product=150"] },
  ];
  return turns.map((turn, index) => ({
    sequence: index + 1,
    operation,
    outcome: "complete",
    ...turn,
  }));
}

/** A part's text, whatever shape the client gave it. */
function textOf({ content }: Message): string {
  if (typeof content === "string") return content;
  return (content ?? []).map(({ text = "" }) => text).join("");
}
