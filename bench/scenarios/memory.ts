/** Memory after as much load as the json and stream scenarios give: a process of its own for each target. */
import { type Bench, type Row, type Scenario, say } from "../bench.ts";
import { startFleet } from "../fleet.ts";
import type { TargetName } from "../options.ts";
import { type Memory, readMemory } from "../proc.ts";
import type { RunningTarget } from "../targets.ts";
import { load } from "../wrk.ts";

const connections = 32;
const limitMegabytes = 160;

export const measureMemory: Scenario = async (bench) => {
  const { targets, rounds, seconds } = bench.options;
  say(`memory: after ${rounds * seconds} s of json and as much of stream`);
  const figures: Partial<Record<TargetName, Memory>> = {};
  const notes: string[] = [];
  await using fleet = await startFleet(bench);
  for (const target of fleet.targets) {
    const fault = await fleet.alone(target, () => loadBoth(bench, target));
    if (fault !== undefined) notes.push(`memory: ${target.name} under load: ${fault}.`);
    const memory = readMemory(target.child.pid);
    figures[target.name] = memory;
    say(`  ${target.name}: ${describeMemory(memory)}`);
  }
  const cells: Row["cells"] = {};
  for (const name of targets) cells[name] = describeMemory(figures[name]);
  const own = figures.turnpike;
  const row: Row = {
    measure: `memory after ${rounds * seconds} s of JSON and ${rounds * seconds} s of streams`,
    cells,
    aim: `RSS ≤ ${limitMegabytes} MB`,
    met: own === undefined ? undefined : own.rss <= limitMegabytes,
  };
  return { scenario: "memory", rows: [row], notes, figures };
};

/** What went wrong meanwhile, if anything. */
async function loadBoth(bench: Bench, target: RunningTarget): Promise<string | undefined> {
  const { directory, options } = bench;
  const seconds = options.rounds * options.seconds;
  const json = await load({ target, directory, seconds, connections, kind: "json" });
  const stream = await load({ target, directory, seconds, connections, kind: "stream" });
  return json.fault ?? stream.fault;
}

/** "112 MB (peak 130)". */
export function describeMemory(memory: Memory | undefined): string {
  if (memory === undefined) return "";
  return `${memory.rss.toFixed(0)} MB (peak ${memory.peak.toFixed(0)})`;
}
