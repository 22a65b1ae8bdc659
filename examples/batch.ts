/**
 * A whole batch, as a trainer sees it and without one: 8 prompts × a group of 8 rollouts, all 64 at the same time,
 * each a tool loop, each rewarded by a function. Nothing is trained. See README.md.
 */
import { randomUUID } from "node:crypto";
import OpenAI from "openai";

const baseUrl = process.env["OPENAI_BASE_URL"] ?? "http://127.0.0.1:8484/v1";
const apiKey = process.env["OPENAI_API_KEY"] ?? "turnpike";
const groupSize = 8;

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

/** The agent: knows a base URL and a key, and nothing of training. */
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

async function runRollout(example: Example): Promise<Result> {
  const id = `${example.plant}-${randomUUID()}`;
  const rollout = await post("/rollouts", { id });
  const client = new OpenAI({ baseURL: rollout.base_url, apiKey: rollout.api_key ?? apiKey });
  const reward = rewardOf(await answerQuestion(client, example), example);
  const done = await post(`/rollouts/${id}/complete`, { reward });
  return { example, turns: done.turns.finished, reward };
}

interface Rollout {
  readonly base_url: string;
  readonly api_key: string | null;
  readonly turns: { readonly finished: number };
}

async function post(path: string, body: object): Promise<Rollout> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${apiKey}` };
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  const response = await fetch(new URL(path, baseUrl), init);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Rollout;
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
  console.log(
    groupRow(
      example.prompt,
      results.filter((result) => result.example === example),
    ),
  );
}
console.log(groupRow(`all, in ${seconds.toFixed(1)} s`, results));
