/** Agents as people write them: the official client with its default retries, turn after turn, then a reward. */
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";

export interface RolloutPlan {
  readonly id: string;
  readonly turns: number;
  readonly status: "ready" | "failed";
  readonly reward: number;
  /** In one request, in two, or without waiting. */
  readonly manner: "together" | "apart" | "async";
}

/** What the agent of one rollout knows in the end. */
export interface RolloutRecord {
  readonly plan: RolloutPlan;
  /** Markers of the turns the agent got a whole answer to. */
  readonly answered: string[];
  /** Markers of the turns that failed for it, with the error's name. */
  readonly failed: Map<string, string>;
  /** The gateway has said 200 or 202 to the reward. */
  acknowledged: boolean;
  /** Answers that should not have come. */
  readonly surprises: string[];
}

export interface AgentSettings {
  readonly gatewayUrl: string;
  readonly random: () => number;
  readonly onTurn: () => void;
}

/** A turn's marker stands in its body: by it the simulator's captures are told apart. */
export function markerOf(id: string, turn: number): string {
  return `<turn ${id} ${turn}>`;
}

export async function runAgent(plan: RolloutPlan, settings: AgentSettings): Promise<RolloutRecord> {
  const record: RolloutRecord = {
    plan,
    answered: [],
    failed: new Map(),
    acknowledged: false,
    surprises: [],
  };
  const client = new OpenAI({
    baseURL: `${settings.gatewayUrl}/rollouts/${encodeURIComponent(plan.id)}/v1`,
    apiKey: "not-needed",
  });
  for (let turn = 1; turn <= plan.turns; turn += 1) {
    await makeTurn(client, { record, turn, stream: settings.random() < 0.5 });
    settings.onTurn();
  }
  await report(record, settings);
  return record;
}

interface TurnToMake {
  readonly record: RolloutRecord;
  readonly turn: number;
  readonly stream: boolean;
}

async function makeTurn(client: OpenAI, { record, turn, stream }: TurnToMake): Promise<void> {
  const marker = markerOf(record.plan.id, turn);
  const request = {
    model: "default",
    messages: [{ role: "user" as const, content: `${marker} Go on.` }],
  };
  try {
    if (stream) {
      const chunks = await client.chat.completions.create({ ...request, stream: true });
      for await (const chunk of chunks) void chunk;
    } else await client.chat.completions.create(request);
    record.answered.push(marker);
  } catch (error) {
    record.failed.set(marker, error instanceof Error ? error.name : String(error));
    // The agent goes on with its next turn; while the gateway is down that would fail at once.
    await sleep(200);
  }
}

interface Report {
  readonly path: "complete" | "reward";
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

async function report(record: RolloutRecord, settings: AgentSettings): Promise<void> {
  const { status, reward, manner } = record.plan;
  if (manner === "apart") {
    await insist(record, settings, { path: "complete", body: { status } });
    await insist(record, settings, { path: "reward", body: { reward } });
  } else {
    const headers = manner === "async" ? { prefer: "respond-async" } : {};
    await insist(record, settings, { path: "complete", body: { status, reward }, headers });
  }
  record.acknowledged = record.surprises.length === 0;
  // What was said cannot be changed, however often the gateway has died since.
  const other = await post(record, settings, { path: "reward", body: { reward: reward + 1 } });
  if (other !== undefined && other !== 409) record.surprises.push(`another reward: ${other}`);
}

/** Until the gateway has accepted it: the harness's own retries, on connection errors and 503 only. */
async function insist(record: RolloutRecord, settings: AgentSettings, what: Report): Promise<void> {
  for (;;) {
    const status = await post(record, settings, what);
    if (status === 200 || status === 202) return;
    if (status !== undefined && status !== 503) {
      record.surprises.push(`${what.path}: ${status}`);
      return;
    }
    await sleep(100 + settings.random() * 200);
  }
}

/** `undefined` where the connection broke. */
async function post(
  { plan }: RolloutRecord,
  { gatewayUrl }: AgentSettings,
  { path, body, headers = {} }: Report,
): Promise<number | undefined> {
  try {
    const response = await fetch(`${gatewayUrl}/rollouts/${encodeURIComponent(plan.id)}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    await response.text();
    return response.status;
  } catch {
    return undefined;
  }
}
