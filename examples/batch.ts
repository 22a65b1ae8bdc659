/**
 * A whole batch through the ingress: 8 prompts × a group of 8 rollouts, all 64 at the same time. This file plays both
 * ends of it: the trainer, which asks turnpike's ingress for rollouts, and the HTTP agent, which the ingress has run
 * each of them: a tool loop, rewarded by a function. Nothing is trained. See README.md.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import OpenAI from "openai";

const gatewayUrl = process.env["OPENAI_BASE_URL"] ?? "http://127.0.0.1:8484/v1";
const ingressUrl = process.env["INGRESS_URL"] ?? "http://127.0.0.1:8080";
const apiKey = process.env["OPENAI_API_KEY"] ?? "turnpike";
const agentPort = Number(process.env["AGENT_PORT"] ?? 9000);
const jobArn = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/dev";
const inferenceParams = { temperature: 0.7, maxTokens: 1024 };
const groupSize = 8;
const hint = `Start turnpike: npm start -- --ingress --agent-url http://127.0.0.1:${agentPort}`;

const stock: Readonly<Record<string, number>> = {
  apple: 12,
  basil: 0,
  cedar: 7,
  daisy: 140,
  elder: 3,
  fennel: 0,
  ginger: 56,
  hazel: 1,
};
const dataset = Object.entries(stock).map(([plant, count]) => ({
  prompt: `How many ${plant} plants are in stock?`,
  plant,
  count,
}));
type Example = (typeof dataset)[number];

interface Result {
  readonly example: Example;
  readonly turns: number;
  readonly reward: number;
}

/** 1 for the right number, less a little for every character of chatter; 0 for a wrong one. */
function rewardOf(answer: string, { count }: Example): number {
  const right = answer.match(/\d+/u)?.[0] === String(count);
  return right ? Math.max(0.5, 1 - answer.length / 1000) : 0;
}

/** The agent's loop: knows a base URL and a key, and nothing of training. */
async function answerQuestion(client: OpenAI, { prompt, plant }: Example): Promise<string> {
  const properties = { plant: { type: "string", enum: [plant] } };
  const parameters = { type: "object", properties, required: ["plant"] };
  const tools = [{ type: "function" as const, function: { name: "stock_of", parameters } }];
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: prompt }];
  for (let turn = 0; turn < 5; turn += 1) {
    const completion = await client.chat.completions.create({ model: "default", messages, tools });
    const message = completion.choices[0]?.message;
    if (!message?.tool_calls) return message?.content ?? "";
    messages.push(message);
    for (const call of message.tool_calls) {
      if (call.type !== "function") continue;
      const { plant: asked } = JSON.parse(call.function.arguments) as { plant: string };
      const content = `${stock[asked] ?? "unknown"}`;
      messages.push({ role: "tool", tool_call_id: call.id, content });
    }
  }
  return "";
}

/** The agent's end: a rollout request as the trainer sent it, with `turnpike` added. */
async function answerRequest(request: IncomingMessage): Promise<{ reward: number }> {
  const { turnpike } = (await json(request)) as {
    turnpike: { base_url: string; api_key: string; prompt: string };
  };
  const example = dataset.find(({ prompt }) => prompt === turnpike.prompt);
  if (!example) throw new Error(`not a prompt of the dataset: ${turnpike.prompt}`);
  const client = new OpenAI({ baseURL: turnpike.base_url, apiKey: turnpike.api_key });
  return { reward: rewardOf(await answerQuestion(client, example), example) };
}

const agent = createServer((request, response) => {
  answerRequest(request).then(
    (answer) => response.end(JSON.stringify(answer)),
    (error: Error) => {
      console.error(`\nagent: ${error.message}`);
      response.writeHead(500).end();
    },
  );
});

interface Operation {
  readonly outcome: string;
  readonly error: { readonly message: string } | null;
}

/** What is read here of `GET /rollouts/{id}`. */
interface Rollout {
  readonly state: string;
  readonly turns: { readonly finished: number };
  readonly agent: { readonly outcome: string; readonly detail: string } | null;
  readonly completion: Operation | null;
  readonly reward: (Operation & { readonly rewards: readonly number[] }) | null;
}

/** The trainer's end: asks for a rollout, and waits until its reward is delivered. */
async function runRollout(example: Example): Promise<Result> {
  const rolloutId = `${example.plant}-${randomUUID()}`;
  const metadata = { jobArn, rolloutId };
  await call(`${ingressUrl}/rollout`, { prompt: example.prompt, metadata, inferenceParams });
  for (const deadline = Date.now() + 600_000; Date.now() < deadline; await pause(500)) {
    const rollout = (await call(new URL(`/rollouts/${rolloutId}`, gatewayUrl))) as Rollout;
    const problem = problemOf(rollout);
    if (problem !== undefined) throw new Error(`rollout ${rolloutId} failed: ${problem}`);
    const { state, turns, reward } = rollout;
    if (state !== "rewarded" || !reward) continue;
    return { example, turns: turns.finished, reward: reward.rewards[0] ?? 0 };
  }
  throw new Error(`rollout ${rolloutId} has no reward after 600 s`);
}

/** An agent that crashed is one of them: turnpike rewards it with 0, lest it fail the whole job. */
function problemOf({ state, agent: run, completion, reward }: Rollout): string | undefined {
  if (run && run.outcome !== "finished") return run.detail;
  const isLost = (said: Operation | null) => /refused|expired/u.test(said?.outcome ?? "");
  const lost = [completion, reward].find(isLost);
  if (lost) return `${lost.outcome}: ${lost.error?.message ?? "nobody said why"}`;
  return state === "failed" ? "it was completed as failed" : undefined;
}

async function call(url: string | URL, body?: object): Promise<unknown> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${apiKey}` };
  const init = body ? { method: "POST", body: JSON.stringify(body) } : {};
  const response = await fetch(url, { ...init, headers }).catch((error: Error) => {
    throw new Error(`${url} cannot be reached. ${hint}`, { cause: error });
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return await response.json();
}

function progress(done: number, total: number): void {
  const filled = Math.round((done / total) * 40);
  const bar = "█".repeat(filled) + "░".repeat(40 - filled);
  process.stderr.write(`\r${bar} ${done}/${total}${done === total ? "\n" : ""}`);
}

function row(cells: readonly (string | number)[]): string {
  const texts = cells.map((cell) => (typeof cell === "number" ? cell.toFixed(3) : cell));
  return texts.map((text, at) => (at === 0 ? text.padEnd(42) : text.padStart(9))).join("");
}

/** `spread` is the standard deviation within the group: what group-relative advantages are divided by. */
function groupRow(prompt: string, group: readonly Result[]): string {
  const rewards = group.map(({ reward }) => reward);
  const mean = rewards.reduce((sum, each) => sum + each, 0) / rewards.length;
  const variance = rewards.reduce((sum, each) => sum + (each - mean) ** 2, 0) / rewards.length;
  const turns = group.reduce((sum, each) => sum + each.turns, 0);
  return row([prompt, `${group.length}`, `${turns}`, mean, Math.sqrt(variance)]);
}

async function runBatch(): Promise<void> {
  await once(agent.listen(agentPort, "127.0.0.1"), "listening");
  await call(`${ingressUrl}/health`);
  const started = performance.now();
  const examples = dataset.flatMap((example) => Array.from({ length: groupSize }, () => example));
  let finished = 0;
  progress(0, examples.length);
  const results = await Promise.all(
    examples.map(async (example) => {
      const result = await runRollout(example);
      finished += 1;
      progress(finished, examples.length);
      return result;
    }),
  );
  const seconds = (performance.now() - started) / 1000;

  console.log(row(["prompt", "rollouts", "turns", "reward", "spread"]));
  for (const example of dataset) {
    const group = results.filter((result) => result.example === example);
    console.log(groupRow(example.prompt, group));
  }
  console.log(groupRow(`all, in ${seconds.toFixed(1)} s`, results));
  agent.close();
}

await runBatch().catch((error: Error) => {
  console.error(`\n${error.message}`);
  process.exit(1);
});
