/** Requests per second at 32 connections, without and with streaming, as shares of the floor's. */
import { type Bench, type Row, type Scenario, say } from "../bench.ts";
import type { TargetName } from "../options.ts";
import type { CallKind } from "../payloads.ts";
import { percent, type Round, roundNotes, runRounds, series } from "../rounds.ts";
import { median } from "../statistics.ts";

const connections = 32;
const tooIdle = 0.15;

interface Aim {
  readonly ofFloor: number;
  readonly timesPortkey: number | undefined;
  readonly measure: (bench: Bench) => string;
}

const aims: Record<CallKind, Aim> = {
  json: {
    ofFloor: 0.6,
    timesPortkey: 5,
    measure: ({ payloads }) =>
      `JSON, ${kilobytes(payloads.request.json)} in, ${kilobytes(payloads.response)} out, ${connections} connections`,
  },
  stream: {
    ofFloor: 0.5,
    timesPortkey: undefined,
    measure: ({ payloads }) =>
      `stream, ${payloads.events.length - 1} events in ${payloads.eventFrames.length} frames, ${kilobytes(payloads.frames)}, ${connections} connections`,
  },
};

const kilobytes = (bytes: Buffer) => `${(bytes.length / 1000).toFixed(1)} KB`;

const streamNote =
  "Streams: the floor passes the frames on undecoded; turnpike checks and unwraps them into SSE; Portkey, which " +
  "cannot decode frames, gets the same events as plain SSE text from the upstream.";

export const measureJson: Scenario = (bench) => measureThroughput(bench, "json");
export const measureStream: Scenario = (bench) => measureThroughput(bench, "stream");

async function measureThroughput(bench: Bench, kind: CallKind) {
  say(`${kind}: ${bench.options.rounds} rounds of ${bench.options.seconds} s`);
  const rounds = await runRounds(bench, { kind, connections });
  return {
    scenario: kind,
    rows: [createRow(bench, kind, rounds)],
    notes: [
      ...(kind === "stream" ? [streamNote] : []),
      ...roundNotes(kind, rounds),
      ...idleCoreNotes(kind, rounds),
    ],
    figures: rounds,
  };
}

function createRow(bench: Bench, kind: CallKind, rounds: readonly Round[]): Row {
  const { ofFloor, timesPortkey, measure } = aims[kind];
  const share = ratio(rounds, "turnpike", "floor");
  const times = ratio(rounds, "turnpike", "portkey");
  const cells: Row["cells"] = {};
  for (const name of bench.options.targets) cells[name] = createCell(rounds, name);
  if (cells.turnpike !== undefined && times !== undefined) {
    cells.turnpike += `, ${times.toFixed(1)} × Portkey`;
  }
  const verdicts = [
    share === undefined ? undefined : share >= ofFloor,
    ...(timesPortkey === undefined
      ? []
      : [times === undefined ? undefined : times >= timesPortkey]),
  ];
  return {
    measure: measure(bench),
    cells,
    aim:
      `≥ ${ofFloor.toFixed(2)} of the floor` +
      (timesPortkey === undefined ? "" : `, ≥ ${timesPortkey} × Portkey`),
    met: allMet(verdicts),
  };
}

function createCell(rounds: readonly Round[], name: TargetName): string {
  const rates = series(rounds, name, (run) => run.requestsPerSecond);
  if (rates.length === 0) return "void";
  const share = ratio(rounds, name, "floor");
  const rate = `${Math.round(median(rates)).toLocaleString("en-US")}/s`;
  return share === undefined ? rate : `${rate} (${share.toFixed(2)})`;
}

/** The median over the rounds of one target's rate over another's of the same round. */
function ratio(rounds: readonly Round[], name: TargetName, base: TargetName): number | undefined {
  const rates = series(rounds, name, (run) => run.requestsPerSecond);
  const bases = series(rounds, base, (run) => run.requestsPerSecond);
  if (rates.length === 0 || bases.length === 0) return undefined;
  return median(rates.map((rate, index) => rate / (bases[index] ?? Number.NaN)));
}

function allMet(verdicts: readonly (boolean | undefined)[]): boolean | undefined {
  if (verdicts.includes(false)) return false;
  return verdicts.includes(undefined) ? undefined : true;
}

/** A proxy that leaves its core idle was held up by the load or the upstream: its rate is too low. */
function idleCoreNotes(kind: CallKind, rounds: readonly Round[]): string[] {
  const names: readonly TargetName[] = ["floor", "portkey", "turnpike"];
  return names.flatMap((name) => {
    const idle = median(series(rounds, name, ({ cpu }) => cpu.idle));
    return idle > tooIdle
      ? [`${kind}: ${name} left ${percent(idle)} of its core idle; something else was the limit.`]
      : [];
  });
}
