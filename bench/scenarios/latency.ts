/** What a proxy adds at one connection: to the median answer, and to a stream's first byte. */
import { type Bench, type Row, type Scenario, say } from "../bench.ts";
import { send, singleConnection } from "../client.ts";
import { startFleet } from "../fleet.ts";
import type { TargetName } from "../options.ts";
import type { CallKind } from "../payloads.ts";
import { median } from "../statistics.ts";
import type { RunningTarget } from "../targets.ts";

/** One round: each target's median in milliseconds. */
type Medians = Partial<Record<TargetName, number>>;

interface Aim {
  readonly measure: string;
  readonly addedMs: number;
}

const aims: Record<CallKind, Aim> = {
  json: { measure: "JSON at one connection, p50", addedMs: 0.5 },
  stream: { measure: "stream at one connection, p50 of the time to the first byte", addedMs: 1 },
};

const kinds: readonly CallKind[] = ["json", "stream"];

export const measureLatency: Scenario = async (bench) => {
  const { rounds, latencySamples } = bench.options;
  say(`latency: ${rounds} rounds of ${latencySamples} requests of each kind, one after the other`);
  await using fleet = await startFleet(bench);
  const figures: Record<CallKind, Medians[]> = { json: [], stream: [] };
  for (let round = 0; round <= rounds; round++) {
    const medians: Record<CallKind, Medians> = { json: {}, stream: {} };
    for (const target of fleet.targets) {
      await fleet.alone(target, async () => {
        for (const kind of kinds) {
          medians[kind][target.name] = await measureMedian(bench, target, kind);
        }
      });
    }
    // Round 0 warms up.
    if (round === 0) continue;
    for (const kind of kinds) {
      figures[kind].push(medians[kind]);
      say(`  round ${round}/${rounds} ${kind}: ${describe(medians[kind])}`);
    }
  }
  return {
    scenario: "latency",
    rows: kinds.map((kind) => createRow(bench, aims[kind], figures[kind])),
    notes: [],
    figures,
  };
};

/** To the end of the answer, or of a stream to its first byte. Throws on any wrong answer. */
async function measureMedian(bench: Bench, target: RunningTarget, kind: CallKind): Promise<number> {
  const agent = singleConnection();
  const expectedBytes = target.expected(kind).length;
  const times: number[] = [];
  for (let sample = 0; sample < bench.options.latencySamples; sample++) {
    const started = performance.now();
    const answer = await send({ ...target.call(kind), agent });
    const elapsed = performance.now() - started;
    if (answer.status !== 200 || answer.body.length !== expectedBytes) {
      throw new Error(`${target.name}: status ${answer.status}, ${answer.body.length} bytes`);
    }
    times.push(kind === "json" ? elapsed : answer.firstByteMs);
  }
  agent.destroy();
  target.child.truncateLog();
  return median(times);
}

function createRow(bench: Bench, { measure, addedMs }: Aim, rounds: readonly Medians[]): Row {
  const cells: Row["cells"] = {};
  for (const name of bench.options.targets) {
    const added = addedOverFloor(rounds, name);
    const own = `${median(rounds.map((medians) => medians[name] ?? Number.NaN)).toFixed(2)} ms`;
    cells[name] = name === "floor" || added === undefined ? own : `${own} (${signed(added)})`;
  }
  const added = addedOverFloor(rounds, "turnpike");
  return {
    measure,
    cells,
    aim: `≤ ${addedMs} ms added to the floor`,
    met: added === undefined ? undefined : added <= addedMs,
  };
}

/** The median over the rounds of the difference within a round. */
function addedOverFloor(rounds: readonly Medians[], name: TargetName): number | undefined {
  const added = rounds.map(
    (medians) => (medians[name] ?? Number.NaN) - (medians.floor ?? Number.NaN),
  );
  return added.some(Number.isNaN) ? undefined : median(added);
}

function signed(milliseconds: number): string {
  return `${milliseconds < 0 ? "−" : "+"}${Math.abs(milliseconds).toFixed(2)}`;
}

function describe(medians: Medians): string {
  return Object.entries(medians)
    .map(([name, milliseconds]) => `${name} ${milliseconds.toFixed(3)} ms`)
    .join(", ");
}
