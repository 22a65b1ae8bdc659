/**
 * From spawn to the first 200 on the ready path. Cold: home and temporary directory are empty, so no
 * compile cache is found. Warm: the same directories as the start before.
 */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { type Bench, type Row, type Scenario, say } from "../bench.ts";
import type { TargetName } from "../options.ts";
import { median } from "../statistics.ts";
import { startTarget } from "../targets.ts";

const limitMs = 400;
const probeMs = 2;

/** Milliseconds of each start. */
interface StartUps {
  readonly cold: number[];
  readonly warm: number[];
}

export const measureStartUp: Scenario = async (bench) => {
  const { targets, startUps } = bench.options;
  say(`start-up: ${startUps} cold and ${startUps} warm starts`);
  const figures: Partial<Record<TargetName, StartUps>> = {};
  const warmDirectories = new Map(targets.map((name) => [name, emptyDirectory(bench)]));
  for (let start = 0; start <= startUps; start++) {
    for (const name of targets) {
      const cold = await timeStart(bench, name, emptyDirectory(bench));
      const warm = await timeStart(bench, name, warmDirectories.get(name) ?? "");
      // Start 0 fills the page cache and the warm directories.
      if (start === 0) continue;
      figures[name] ??= { cold: [], warm: [] };
      figures[name].cold.push(cold);
      figures[name].warm.push(warm);
    }
  }
  const cells: Row["cells"] = {};
  for (const name of targets) cells[name] = describe(figures[name]);
  for (const name of targets) say(`  ${name}: ${cells[name]}`);
  const own = figures.turnpike;
  const row: Row = {
    measure: "start-up to ready, cold / warm",
    cells,
    aim: `≤ ${limitMs} ms`,
    met: own === undefined ? undefined : median(own.cold) <= limitMs,
  };
  const notes = [
    `Start-up is from spawn to the first 200 on \`/readyz\` of \`node ${bench.options.entry} serve\`, judged cold (no compile cache on disk; the files themselves are in the page cache).`,
  ];
  return { scenario: "startup", rows: [row], notes, figures };
};

async function timeStart(bench: Bench, name: TargetName, cacheDirectory: string): Promise<number> {
  const { options, payloads, directory, upstream } = bench;
  await using target = await startTarget(name, {
    ...options,
    payloads,
    upstreamPort: upstream.port,
    directory,
    cacheDirectory,
    readyIntervalMs: probeMs,
  });
  return target.readyAfterMs;
}

function emptyDirectory(bench: Bench): string {
  return mkdtempSync(join(bench.directory, "home-"));
}

function describe(startUps: StartUps | undefined): string {
  if (startUps === undefined) return "";
  return `${median(startUps.cold).toFixed(0)} / ${median(startUps.warm).toFixed(0)} ms`;
}
