/** The results as Markdown, ready for the README. */
import type { Row, ScenarioResult } from "./bench.ts";
import type { Machine } from "./machine.ts";
import type { Options, TargetName } from "./options.ts";
import { peerVersion, targets } from "./targets.ts";

export interface Report {
  readonly machine: Machine;
  readonly options: Options;
  readonly results: readonly ScenarioResult[];
}

export function renderTable({ machine, options, results }: Report): string {
  const names = options.targets;
  const titles = names.map((name) =>
    name === "portkey" ? `Portkey ${peerVersion("@portkey-ai/gateway")}` : targets[name].title,
  );
  const rows = results.flatMap((result) => result.rows);
  const notes = results.flatMap((result) => result.notes);
  return [
    line(["", ...titles, "target", "met"]),
    line(["---", ...titles.map(() => "---"), "---", "---"]),
    ...rows.map((row) => renderRow(row, names)),
    "",
    describe(machine, options),
    ...notes.map((note) => `- ${note}`),
    "",
  ].join("\n");
}

function renderRow({ measure, cells, aim, met }: Row, names: readonly TargetName[]): string {
  return line([measure, ...names.map((name) => cells[name] ?? ""), aim, verdict(met)]);
}

function verdict(met: boolean | undefined): string {
  if (met === undefined) return "not judged";
  return met ? "yes" : "**no**";
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function describe(machine: Machine, { entry }: Options): string {
  const { cpu, cores, memoryGigabytes, kernel, node, date } = machine;
  return (
    `${cpu}, ${cores} cores, ${memoryGigabytes} GB, ${kernel}, Node ${node}, ${date}. ` +
    "Each proxy alone on one core, upstream (nginx) and load (wrk) on another; medians of interleaved rounds, " +
    "in brackets the median share of the floor's rate in the same round. SigV4 signing and the default logging on. " +
    `turnpike ran as \`node ${entry} serve\`.\n`
  );
}
