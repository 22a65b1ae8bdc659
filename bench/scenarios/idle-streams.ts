/** 1,000 slow streams at once: nothing may be lost, and memory must stay small while they are held. */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, type Row, type Scenario, say } from "../bench.ts";
import { answersOk, send } from "../client.ts";
import type { TargetName } from "../options.ts";
import { createStream, type Payloads } from "../payloads.ts";
import { type Memory, readMemory } from "../proc.ts";
import { freePort, loadCore, startChild, waitUntilReady } from "../processes.ts";
import { type RunningTarget, startTarget } from "../targets.ts";
import { describeMemory } from "./memory.ts";

const streams = 1_000;
/** Opened in batches, so that no accept queue overflows. */
const batch = 50;
const batchPauseMs = 50;
const sampleMs = 250;
const limitMegabytes = 250;

interface Outcome {
  readonly complete: number;
  /** The most streams open at once, all with their first byte there. */
  readonly held: number;
  /** At the moment most streams were open. */
  readonly memory: Memory;
  readonly faults: readonly string[];
}

export const measureIdleStreams: Scenario = async (bench) => {
  const { targets, idleSeconds } = bench.options;
  say(`idle streams: ${streams} of ${idleSeconds} s, one event a second`);
  const outcomes: Partial<Record<TargetName, Outcome>> = {};
  for (const name of targets) {
    const outcome = await holdStreams(bench, name);
    outcomes[name] = outcome;
    say(`  ${name}: ${describe(outcome)}, ${outcome.held} at once`);
  }
  const cells: Row["cells"] = {};
  for (const name of targets) cells[name] = describe(outcomes[name]);
  const row: Row = {
    measure: `${streams.toLocaleString("en-US")} slow streams at once`,
    cells,
    aim: `none lost, RSS ≤ ${limitMegabytes} MB`,
    met: judge(outcomes.turnpike),
  };
  const notes = Object.entries(outcomes).flatMap(([name, { faults, held }]) => [
    ...(faults.length > 0
      ? [`idle streams: ${name}: ${[...new Set(faults)].slice(0, 3).join("; ")}.`]
      : []),
    ...(held < streams ? [`idle streams: ${name} held ${held} at once.`] : []),
  ]);
  return { scenario: "idle-streams", rows: [row], notes, figures: outcomes };
};

async function holdStreams(bench: Bench, name: TargetName): Promise<Outcome> {
  const { directory, options } = bench;
  const payloads: Payloads = { ...bench.payloads, ...createStream(options.idleSeconds) };
  const upstreamPort = await freePort();
  await using upstream = startChild({
    name: "slow-upstream",
    command: process.execPath,
    args: [
      join(import.meta.dirname, "../slow-upstream.ts"),
      String(upstreamPort),
      String(options.idleSeconds),
    ],
    core: loadCore,
    logDirectory: directory,
  });
  await waitUntilReady({ child: upstream, probe: () => answersOk(upstreamPort, "/ready") });
  await using target = await startTarget(name, { ...options, payloads, upstreamPort, directory });
  return await openStreams(target);
}

async function openStreams(target: RunningTarget): Promise<Outcome> {
  const expected = target.expected("stream");
  const faults: string[] = [];
  let open = 0;
  let held = 0;
  let complete = 0;
  let memory = readMemory(target.child.pid);
  const one = async (rollout: number) => {
    let begun = 0;
    try {
      const onFirstByte = () => {
        begun = 1;
        open++;
      };
      const { status, body } = await send({ ...target.call("stream", rollout), onFirstByte });
      if (status === 200 && body.equals(expected)) complete++;
      else faults.push(`status ${status}, ${body.length} of ${expected.length} bytes`);
    } catch (error) {
      faults.push(error instanceof Error ? error.message : String(error));
    } finally {
      open -= begun;
    }
  };
  const sampler = setInterval(() => {
    if (open < held || target.child.exit() !== undefined) return;
    held = open;
    memory = readMemory(target.child.pid);
  }, sampleMs);
  const all: Promise<void>[] = [];
  for (let rollout = 1; rollout <= streams; rollout++) {
    all.push(one(rollout));
    if (rollout % batch === 0) await sleep(batchPauseMs);
  }
  await Promise.all(all);
  clearInterval(sampler);
  return { complete, held, memory, faults };
}

function judge(outcome: Outcome | undefined): boolean | undefined {
  if (outcome === undefined) return undefined;
  const { complete, held, memory } = outcome;
  return complete === streams && held === streams && memory.rss <= limitMegabytes;
}

function describe(outcome: Outcome | undefined): string {
  if (outcome === undefined) return "";
  const lost = streams - outcome.complete;
  return `${lost === 0 ? "none lost" : `${lost} lost`}, ${describeMemory(outcome.memory)}`;
}
