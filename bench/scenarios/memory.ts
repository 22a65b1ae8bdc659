/** Memory after as much load as the json and stream scenarios give: a process of its own for each target. */
import { type Bench, type Row, type Scenario, say } from "../bench.ts";
import { startFleet } from "../fleet.ts";
import type { TargetName } from "../options.ts";
import { type Memory, readMemory } from "../proc.ts";
import type { RunningTarget } from "../targets.ts";
import { load } from "../wrk.ts";

const connections = 32;
const limitMegabytes = 160;

interface MemoryUse {
  readonly idle: Memory;
  readonly json: Memory;
  readonly stream: Memory;
  /** What went wrong under load. */
  readonly faults: readonly string[];
}

export const measureMemory: Scenario = async (bench) => {
  const { targets, rounds, seconds } = bench.options;
  say(`memory: after ${rounds * seconds} s of json and as much of stream`);
  const figures: Partial<Record<TargetName, MemoryUse>> = {};
  const notes: string[] = [];
  await using fleet = await startFleet(bench);
  for (const target of fleet.targets) {
    const use = await fleet.alone(target, () => loadBoth(bench, target));
    for (const fault of use.faults) notes.push(`memory: ${target.name} under load: ${fault}.`);
    figures[target.name] = use;
    const { idle, json, stream } = use;
    say(
      `  ${target.name}: idle ${describeMemory(idle)}, then ${describeMemory(json)}, then ${describeMemory(stream)}`,
    );
  }
  const cells: Row["cells"] = {};
  for (const name of targets) cells[name] = describeMemory(figures[name]?.stream);
  const own = figures.turnpike?.stream;
  const row: Row = {
    measure: `memory after ${rounds * seconds} s of JSON and ${rounds * seconds} s of streams`,
    cells,
    aim: `RSS ≤ ${limitMegabytes} MB`,
    met: own === undefined ? undefined : own.rss <= limitMegabytes,
  };
  return { scenario: "memory", rows: [row], notes, figures };
};

async function loadBoth(bench: Bench, target: RunningTarget): Promise<MemoryUse> {
  const { directory, options } = bench;
  const seconds = options.rounds * options.seconds;
  const { pid } = target.child;
  const idle = readMemory(pid);
  const json = await load({ target, directory, seconds, connections, kind: "json" });
  const afterJson = readMemory(pid);
  const stream = await load({ target, directory, seconds, connections, kind: "stream" });
  const faults = [json.fault, stream.fault].filter((fault) => fault !== undefined);
  return { idle, json: afterJson, stream: readMemory(pid), faults };
}

/** "112 MB (peak 130)". */
export function describeMemory(memory: Memory | undefined): string {
  if (memory === undefined) return "";
  return `${memory.rss.toFixed(0)} MB (peak ${memory.peak.toFixed(0)})`;
}
