/** A support agent with one tool, with the openai package. See README.md. */
import OpenAI from "openai";

interface Rollout {
  readonly id: string;
  readonly base_url: string;
  readonly api_key: string | null;
  readonly state: string;
  readonly turns: { readonly finished: number };
}

const baseUrl = process.env["OPENAI_BASE_URL"] ?? "http://127.0.0.1:8484/v1";
const apiKey = process.env["OPENAI_API_KEY"] ?? "turnpike";

const properties = { order: { type: "string", enum: ["A-17", "B-4"] } };
const parameters = { type: "object", properties, required: ["order"] };
const tools = [{ type: "function" as const, function: { name: "order_status", parameters } }];

const rollout = await post("/rollouts", { id: `order-${crypto.randomUUID()}` });
console.log(`rollout ${rollout.id}`);

const client = new OpenAI({ baseURL: rollout.base_url, apiKey: rollout.api_key ?? apiKey });
const answer = await answerQuestion("Where is order A-17?");
console.log(`answer  ${answer}`);

const reward = answer.includes("shipped") ? 1 : 0;
const done = await post(`/rollouts/${rollout.id}/complete`, { reward });
console.log(`reward  ${reward}, ${done.turns.finished} turns, ${done.state}`);

async function answerQuestion(question: string): Promise<string> {
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: question }];
  for (let turn = 0; turn < 5; turn += 1) {
    const completion = await client.chat.completions.create({ model: "default", messages, tools });
    const message = completion.choices[0]?.message;
    if (!message?.tool_calls) return message?.content ?? "";
    messages.push(message);
    for (const call of message.tool_calls) {
      if (call.type !== "function") continue;
      const content = orderStatus(JSON.parse(call.function.arguments));
      console.log(`tool    ${call.function.name} ${call.function.arguments} → ${content}`);
      messages.push({ role: "tool", tool_call_id: call.id, content });
    }
  }
  return "";
}

function orderStatus({ order }: { order: string }): string {
  return { "A-17": "shipped on Monday", "B-4": "waiting for parts" }[order] ?? "unknown";
}

async function post(path: string, body: object): Promise<Rollout> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${apiKey}` };
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  const response = await fetch(new URL(path, baseUrl), init);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Rollout;
}
