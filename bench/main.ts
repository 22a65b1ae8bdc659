/**
 * The benchmark: options → requirements → upstream → scenarios → table.
 * See README.md for what is measured and how to read it.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { type Bench, type Scenario, type ScenarioResult, say } from "./bench.ts";
import { describeMachine } from "./machine.ts";
import { type Options, readOptions, type ScenarioName, usage } from "./options.ts";
import { createPayloads } from "./payloads.ts";
import { cleanUpOnExit, loadCore, temporaryDirectory } from "./processes.ts";
import { extendPath, findObstacles, installPeers } from "./requirements.ts";
import { measureIdleStreams } from "./scenarios/idle-streams.ts";
import { measureLatency } from "./scenarios/latency.ts";
import { measureMemory } from "./scenarios/memory.ts";
import { measureStartUp } from "./scenarios/startup.ts";
import { measureJson, measureStream } from "./scenarios/throughput.ts";
import { renderTable } from "./table.ts";
import { startUpstream } from "./upstream.ts";

const scenarios: Record<ScenarioName, Scenario> = {
  json: measureJson,
  stream: measureStream,
  latency: measureLatency,
  memory: measureMemory,
  "idle-streams": measureIdleStreams,
  startup: measureStartUp,
};

const exitMissedTarget = 1;
const exitCannotRun = 2;

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  say(error instanceof Error ? `bench: ${error.message}` : String(error));
  return exitCannotRun;
});

async function main(args: string[]): Promise<number> {
  const options = readOptions(args);
  if (options === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  extendPath();
  const obstacles = findObstacles();
  for (const obstacle of obstacles) say(`bench: ${obstacle}`);
  if (obstacles.length > 0) return exitCannotRun;
  if (options.targets.includes("portkey")) installPeers();
  cleanUpOnExit();
  pinHarness();
  const results = await runScenarios(options);
  return report(options, results);
}

async function runScenarios(options: Options): Promise<ScenarioResult[]> {
  const directory = temporaryDirectory();
  const payloads = createPayloads();
  await using upstream = await startUpstream({ directory, payloads });
  const bench: Bench = { options, payloads, upstream, directory };
  const results: ScenarioResult[] = [];
  for (const name of options.scenarios) {
    results.push(await scenarios[name](bench));
  }
  return results;
}

function report(options: Options, results: readonly ScenarioResult[]): number {
  const machine = describeMachine();
  const { jsonFile, check } = options;
  process.stdout.write(renderTable({ machine, options, results }));
  if (jsonFile !== undefined) {
    writeFileSync(jsonFile, `${JSON.stringify({ machine, options, results }, undefined, 2)}\n`);
  }
  const missed = results.some(({ rows }) => rows.some(({ met }) => met !== true));
  return check && missed ? exitMissedTarget : 0;
}

/** Keeps this process off the proxy's core. */
function pinHarness(): void {
  execFileSync("taskset", ["-a", "-c", "-p", String(loadCore), String(process.pid)]);
}
