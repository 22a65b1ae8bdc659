/**
 * `npm run test:crash`: kills the gateway with SIGKILL at random moments, under agents that make turns through the
 * official client and a service that fails in every way, and compares what the service captured with what was done.
 *
 *   --rollouts 300 --kills 30 --concurrency 16 --seed <number>
 *
 * Prints figures; ends with 1 when one that must be zero is not.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type RolloutPlan, type RolloutRecord, runAgent } from "./agents.ts";
import { type Audit, audit, getJson } from "./audit.ts";
import { GatewayProcess, startSimulator } from "./processes.ts";
import { seeded } from "./random.ts";

const sampling = ["Sample", "SampleWithResponseStream"];
const lifecycle = ["CompleteRollout", "UpdateReward"];

/** Every way to fail that does not depend on the body's bytes. */
const faults = [
  { kind: "throttle", operations: sampling, probability: 0.03 },
  { kind: "internal-error", operations: sampling, probability: 0.02 },
  { kind: "unavailable", operations: sampling, probability: 0.02 },
  { kind: "reset-before-capture", operations: sampling, probability: 0.02 },
  { kind: "reset-after-capture", operations: sampling, probability: 0.02 },
  { kind: "delay-headers", operations: sampling, ms: 150, probability: 0.5 },
  { kind: "delay-headers", operations: sampling, ms: 600, captured: true, probability: 0.1 },
  { kind: "delay-first-frame", ms: 300, probability: 0.2 },
  { kind: "throttle", operations: lifecycle, probability: 0.1 },
  { kind: "internal-error", operations: lifecycle, probability: 0.05 },
  { kind: "unavailable", operations: lifecycle, probability: 0.05 },
  { kind: "reset-before-capture", operations: lifecycle, probability: 0.05 },
  { kind: "reset-after-capture", operations: lifecycle, probability: 0.1 },
];

interface Settings {
  readonly rollouts: number;
  readonly kills: number;
  readonly concurrency: number;
  readonly seed: number;
}

const dir = mkdtempSync(join(tmpdir(), "turnpike-crash-"));
const settings = readSettings();
const isGood = await run(settings);
if (isGood) rmSync(dir, { recursive: true, force: true });
else print(`Logs and state: ${dir}`);
process.exit(isGood ? 0 : 1);

function readSettings(): Settings {
  const { values } = parseArgs({
    options: {
      rollouts: { type: "string", default: "300" },
      kills: { type: "string", default: "30" },
      concurrency: { type: "string", default: "16" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
    },
  });
  const { rollouts, kills, concurrency, seed } = values;
  return {
    rollouts: Number(rollouts),
    kills: Number(kills),
    concurrency: Number(concurrency),
    seed: Number(seed),
  };
}

async function run({ rollouts, kills, concurrency, seed }: Settings): Promise<boolean> {
  print(`crash harness: ${rollouts} rollouts, ${kills} kills, seed ${seed}`);
  const random = seeded(seed);
  const simulator = await startSimulator(dir, { faults, eventDelayMs: 15 });
  const gateway = await GatewayProcess.create({ dir, endpoint: simulator.url });
  try {
    await gateway.start();
    const plans = Array.from({ length: rollouts }, (_, at) => planOf(at, random));
    const progress = { turns: 0, total: plans.reduce((total, plan) => total + plan.turns, 0) };
    const agents = runAgents(plans, { gateway, random, concurrency, progress });
    const killing = killAtRandom(gateway, { kills, random, progress });
    const [records] = await Promise.all([agents, killing]);
    await settled(gateway.url, rollouts);
    const found = await audit(records, { simulatorUrl: simulator.url, gatewayUrl: gateway.url });
    const stats = await getJson<SimulatorStats>(`${simulator.url}/_simulator/stats`);
    const exit = await gateway.end("SIGTERM");
    return say({ kills, rollouts, found, stats, exit, records });
  } finally {
    await gateway.end("SIGKILL").catch(() => undefined);
    simulator.child.kill("SIGKILL");
  }
}

function planOf(at: number, random: () => number): RolloutPlan {
  const manners = ["together", "apart", "async"] as const;
  return {
    id: `rollout/${at}`,
    turns: 3 + Math.floor(random() * 4),
    status: random() < 0.1 ? "failed" : "ready",
    reward: Math.round(random() * 1e9) / 1e9 - 0.5,
    manner: manners[Math.floor(random() * manners.length)] ?? "together",
  };
}

interface Progress {
  turns: number;
  readonly total: number;
}

interface Crew {
  readonly gateway: GatewayProcess;
  readonly random: () => number;
  readonly concurrency: number;
  readonly progress: Progress;
}

async function runAgents(
  plans: readonly RolloutPlan[],
  { gateway, random, concurrency, progress }: Crew,
): Promise<RolloutRecord[]> {
  const records: RolloutRecord[] = [];
  const waiting = [...plans];
  const onTurn = (): void => {
    progress.turns += 1;
  };
  const worker = async (): Promise<void> => {
    for (let plan = waiting.shift(); plan !== undefined; plan = waiting.shift()) {
      records.push(await runAgent(plan, { gatewayUrl: gateway.url, random, onTurn }));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return records;
}

interface Killing {
  readonly kills: number;
  readonly random: () => number;
  readonly progress: Progress;
}

/** Spread over the run, each at a moment of chance, so that every kill meets agents at work. */
async function killAtRandom(
  gateway: GatewayProcess,
  { kills, random, progress }: Killing,
): Promise<void> {
  for (let kill = 1; kill <= kills; kill += 1) {
    const from = ((kill - 0.5) / (kills + 0.5)) * progress.total;
    while (progress.turns < from) await sleep(10);
    await sleep(random() * 400);
    await gateway.end("SIGKILL");
    await gateway.start();
  }
}

interface ListedRollout {
  readonly completion: { readonly outcome: string } | null;
  readonly reward: { readonly outcome: string } | null;
}

/** Until nothing is under way any more. */
async function settled(gatewayUrl: string, rollouts: number): Promise<void> {
  const limit = Math.min(1_000, rollouts);
  for (let tries = 0; tries < 600; tries += 1) {
    const { data } = await getJson<{ data: ListedRollout[] }>(
      `${gatewayUrl}/rollouts?limit=${limit}`,
    );
    const pending = data.filter(
      ({ completion, reward }) =>
        completion?.outcome === "pending" || reward?.outcome === "pending",
    );
    if (pending.length === 0) return;
    await sleep(200);
  }
  print("Some deliveries are still pending after two minutes.");
}

interface SimulatorStats {
  readonly faults: Readonly<Record<string, number>>;
}

interface Outcome {
  readonly rollouts: number;
  readonly kills: number;
  readonly found: Audit;
  readonly stats: SimulatorStats;
  readonly exit: number | string | null;
  readonly records: readonly RolloutRecord[];
}

function say({ rollouts, kills, found, stats, exit, records }: Outcome): boolean {
  const { faults: injected } = stats;
  const total = Object.values(injected).reduce((sum, count) => sum + count, 0);
  const kinds = Object.entries(injected).map(([kind, count]) => `${kind} ${count}`);
  const whole = records.filter(({ acknowledged }) => acknowledged).length;
  print(`
rollouts             ${rollouts}, ${whole} with an acknowledged reward
turns                ${found.turns} made by agents, ${found.answered} answered, ${found.captured} captured
kills                ${kills} (SIGKILL), each followed by a restart on the same state.dir
faults injected      ${total}: ${kinds.join(", ")}
duplicates           ${found.duplicates} captured: ${found.duplicates - found.unflagged} flagged, ${found.unflagged} unflagged; the ledger flagged ${found.flagged} turns in all
rewards              ${found.acknowledged} acknowledged, ${found.delivered} delivered, ${found.lost} lost, ${found.altered} altered, ${found.repeated} applied twice
`);
  for (const surprise of found.surprises.slice(0, 20)) print(`unexpected: ${surprise}`);
  const checks: readonly (readonly [string, boolean])[] = [
    ["every logical turn captured twice was flagged by the ledger", found.unflagged === 0],
    ["every answered turn was captured", found.answeredNotCaptured === 0],
    ["every rollout's reward was acknowledged", found.acknowledged === rollouts],
    ["no acknowledged reward was lost", found.lost === 0],
    ["no reward was altered", found.altered === 0],
    ["no reward took effect twice", found.repeated === 0],
    ["every acknowledged reward was delivered", found.delivered === found.acknowledged],
    ["every trajectory has the status it was given", found.wrongStatus === 0],
    ["nothing unexpected was answered", found.surprises.length === 0],
    ["SIGTERM ends the gateway with 0", exit === 0],
  ];
  for (const [what, holds] of checks) print(`${holds ? "ok  " : "FAIL"} ${what}`);
  const failed = checks.filter(([, holds]) => !holds).length;
  print(`${checks.length - failed} passed, ${failed} failed`);
  return failed === 0;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
