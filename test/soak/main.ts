/**
 * `npm run test:soak`: many rollouts at once, one after another, for a long time, and the gateway's memory
 * meanwhile.
 *
 *   --seconds 600 --rollouts 200
 *
 * The bounds of what is kept are set low, so that they are reached in the first half; the second half is judged:
 * its second part may need hardly more memory than its first. Prints figures; ends with 1 when it does.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { GatewayProcess, startSimulator } from "../crash/processes.ts";

const faults = [
  { kind: "throttle", probability: 0.01 },
  { kind: "unavailable", probability: 0.005 },
  { kind: "reset-before-capture", probability: 0.005 },
  {
    kind: "reset-after-capture",
    operations: ["CompleteRollout", "UpdateReward"],
    probability: 0.01,
  },
  { kind: "delay-headers", ms: 200, probability: 0.3 },
  { kind: "truncate-frame", event: 3, probability: 0.005 },
];

/** Far below the defaults: what is bounded must have reached its bound before it is judged. */
const bounds = { TURNPIKE_ROLLOUTS_MAX_KEPT: "2000", TURNPIKE_LOG_LEVEL: "warn" };

/** What the second half's median may grow, from its first part to its second. */
const limits = { share: 0.05, mebibytes: 8 };
/** A short run ends before the garbage collector has found its pace. */
const shortRun = { belowSeconds: 300, share: 0.2 };

interface Tally {
  rollouts: number;
  turns: number;
  failedTurns: number;
  undelivered: number;
}

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    rollouts: { type: "string", default: "200" },
  },
});
const seconds = Number(values.seconds);
const concurrent = Number(values.rollouts);

const dir = mkdtempSync(join(tmpdir(), "turnpike-soak-"));
const simulator = await startSimulator(dir, { faults, eventDelayMs: 20 });
const gateway = await GatewayProcess.create({ dir, endpoint: simulator.url, variables: bounds });
await gateway.start();
print(`soak: ${seconds} s at ${concurrent} concurrent rollouts`);
const tally: Tally = { rollouts: 0, turns: 0, failedTurns: 0, undelivered: 0 };
const until = performance.now() + seconds * 1_000;
const [samples] = await Promise.all([
  sampleMemory(),
  ...Array.from({ length: concurrent }, (_, at) => keepRolling(at)),
]);
const exit = await gateway.end("SIGTERM");
simulator.child.kill("SIGKILL");
const isGood = say();
if (isGood) rmSync(dir, { recursive: true, force: true });
else print(`Logs and state: ${dir}`);
process.exit(isGood ? 0 : 1);

/** One rollout after another. */
async function keepRolling(at: number): Promise<void> {
  // Not all in step.
  await sleep(at * 5);
  for (let count = 0; performance.now() < until; count += 1) {
    const id = `soak-${at}-${count}`;
    for (let turn = 0; turn < 3 + ((at + count) % 5); turn += 1) {
      const isWhole = await makeTurn(id, (at + turn) % 2 === 0);
      tally.turns += 1;
      if (!isWhole) tally.failedTurns += 1;
    }
    const answer = await post(`/rollouts/${id}/complete`, { reward: count % 2 });
    tally.rollouts += 1;
    if (answer?.status !== 200) tally.undelivered += 1;
  }
}

async function makeTurn(id: string, stream: boolean): Promise<boolean> {
  const content = `Say something. ${"Words, words, words. ".repeat(20)}`;
  const answer = await post(`/rollouts/${id}/v1/chat/completions`, {
    model: "default",
    ...(stream ? { stream } : {}),
    messages: [{ role: "user", content }],
  });
  return answer?.status === 200 && (!stream || answer.text.includes("[DONE]"));
}

async function post(
  path: string,
  body: object,
): Promise<{ readonly status: number; readonly text: string } | undefined> {
  try {
    const response = await fetch(`${gateway.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: response.status, text: await response.text() };
  } catch {
    return undefined;
  }
}

/** The gateway's resident memory in MiB, once a second, as its own metrics say it. */
async function sampleMemory(): Promise<number[]> {
  const taken: number[] = [];
  while (performance.now() < until) {
    await sleep(1_000);
    const text = await (await fetch(`${gateway.opsUrl}/metrics`)).text();
    const bytes = /^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1];
    if (bytes === undefined) throw new Error("The metrics say nothing of resident memory.");
    taken.push(Number(bytes) / 2 ** 20);
    if (taken.length % 30 === 0) {
      print(`  ${taken.length} s: ${taken.at(-1)?.toFixed(0)} MiB, ${tally.turns} turns`);
    }
  }
  return taken;
}

function say(): boolean {
  const quarter = (from: number): number =>
    median(samples.slice((samples.length * from) / 4, (samples.length * (from + 1)) / 4));
  const [first, second, third, fourth] = [quarter(0), quarter(1), quarter(2), quarter(3)];
  const share = seconds < shortRun.belowSeconds ? shortRun.share : limits.share;
  const mayGrow = Math.max(limits.mebibytes, third * share);
  print(`
rollouts             ${tally.rollouts}, ${tally.undelivered} without a delivered reward
turns                ${tally.turns} (${(tally.turns / seconds).toFixed(0)}/s), ${tally.failedTurns} failed by injected faults
resident memory      ${[first, second, third, fourth].map((each) => each.toFixed(0)).join(", ")} MiB (medians of the four quarters), most ${Math.max(...samples).toFixed(0)} MiB
growth               ${(fourth - third).toFixed(1)} MiB in the second half; ${mayGrow.toFixed(1)} allowed
`);
  const checks: readonly (readonly [string, boolean])[] = [
    ["memory is constant in the second half", fourth - third <= mayGrow],
    ["every reward was delivered", tally.undelivered === 0],
    ["turns fail only by injected faults", tally.failedTurns < tally.turns * 0.05],
    ["SIGTERM ends the gateway with 0", exit === 0],
  ];
  for (const [what, holds] of checks) print(`${holds ? "ok  " : "FAIL"} ${what}`);
  const failed = checks.filter(([, holds]) => !holds).length;
  print(`${checks.length - failed} passed, ${failed} failed`);
  return failed === 0;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
