/** Interleaved rounds: every target once per round, so that a drift of the machine hits all alike. */
import { type Bench, say } from "./bench.ts";
import { startFleet } from "./fleet.ts";
import type { TargetName } from "./options.ts";
import type { CallKind } from "./payloads.ts";
import { type LoadResult, load } from "./wrk.ts";

/** One round's runs; a void round has no part in any median. */
export interface Round {
  readonly runs: Partial<Record<TargetName, LoadResult>>;
  readonly fault: string | undefined;
}

export interface RoundsOptions {
  readonly kind: CallKind;
  readonly connections: number;
}

/** Starts the targets, warms each up, then measures round by round. */
export async function runRounds(bench: Bench, options: RoundsOptions): Promise<Round[]> {
  const { directory } = bench;
  const { rounds, seconds, warmUpSeconds } = bench.options;
  await using fleet = await startFleet(bench);
  for (const target of fleet.targets) {
    await fleet.alone(target, () =>
      load({ target, directory, seconds: warmUpSeconds, ...options }),
    );
  }
  const results: Round[] = [];
  for (let round = 1; round <= rounds; round++) {
    const runs: Round["runs"] = {};
    for (const target of fleet.targets) {
      const run = await fleet.alone(target, () => load({ target, directory, seconds, ...options }));
      runs[target.name] = run;
      say(`  round ${round}/${rounds} ${target.name}: ${describe(run)}`);
    }
    const faults = Object.entries(runs).flatMap(([name, { fault }]) =>
      fault === undefined ? [] : [`${name}: ${fault}`],
    );
    results.push({ runs, fault: faults.length > 0 ? faults.join("; ") : undefined });
  }
  return results;
}

function describe(run: LoadResult): string {
  const { requestsPerSecond, p50Ms, cpu, fault } = run;
  const core = `of the core ${percent(cpu.process)}, others ${percent(cpu.others)}, idle ${percent(cpu.idle)}`;
  const verdict = fault === undefined ? "" : `, VOID: ${fault}`;
  return `${requestsPerSecond.toFixed(0)} requests/s, p50 ${p50Ms.toFixed(2)} ms, ${core}${verdict}`;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

/** A figure of one target over the rounds that count. */
export function series(
  rounds: readonly Round[],
  name: TargetName,
  figure: (run: LoadResult) => number,
): number[] {
  return rounds.flatMap(({ runs, fault }) => {
    const run = runs[name];
    return run === undefined || fault !== undefined ? [] : [figure(run)];
  });
}

/** What the reader must know of rounds that do not count, of strangers on the core, and of a core not full. */
export function roundNotes(what: string, rounds: readonly Round[]): string[] {
  const notes = rounds.flatMap(({ fault }, index) =>
    fault === undefined ? [] : [`${what}: round ${index + 1} is void (${fault}).`],
  );
  const shares = rounds.flatMap(({ runs }) => Object.values(runs).map(({ cpu }) => cpu.others));
  const worst = Math.max(...shares);
  if (worst > 0.05) {
    notes.push(`${what}: other processes took up to ${percent(worst)} of the proxy's core: noisy.`);
  }
  return notes;
}
