import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

export const repository = join(import.meta.dirname, "..");

export const targetNames = ["floor", "portkey", "turnpike"] as const;
export type TargetName = (typeof targetNames)[number];

export const scenarioNames = [
  "json",
  "stream",
  "latency",
  "memory",
  "idle-streams",
  "startup",
] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export interface Options {
  readonly targets: readonly TargetName[];
  readonly scenarios: readonly ScenarioName[];
  readonly rounds: number;
  /** Length of one timed run and of one warm-up run. */
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly startUps: number;
  /** Timed requests a round at one connection. */
  readonly latencySamples: number;
  /** How long each of the 1,000 slow streams lasts, at one frame a second. */
  readonly idleSeconds: number;
  /** The program measured as turnpike, from the repository's root. */
  readonly entry: string;
  readonly jsonFile: string | undefined;
  /** Exit 1 when a target is missed. */
  readonly check: boolean;
}

export const usage = `npm run bench -- [options]

  --quick            short runs: to see that everything works, not to quote
  --only LIST        of ${targetNames.join(", ")}
  --scenario LIST    of ${scenarioNames.join(", ")}
  --rounds N         timed rounds per scenario (5; with --quick 2)
  --seconds N        length of one timed run (5; with --quick 2)
  --entry FILE       the program to run as turnpike (dist/turnpike.js where it exists, else src/main.ts)
  --json FILE        write every figure to FILE
  --check            exit 1 when a target is missed
  --help             this text
`;

/** Reads the command line; undefined when help was asked for. Throws on what it does not know. */
export function readOptions(args: string[]): Options | undefined {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      scenario: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      entry: { type: "string" },
      json: { type: "string" },
      check: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const { quick } = values;
  return {
    targets: readList("--only", values.only, targetNames),
    scenarios: readList("--scenario", values.scenario, scenarioNames),
    rounds: readCount("--rounds", values.rounds, quick ? 2 : 5),
    seconds: readCount("--seconds", values.seconds, quick ? 2 : 5),
    warmUpSeconds: quick ? 1 : 4,
    startUps: quick ? 3 : 10,
    latencySamples: quick ? 300 : 1000,
    idleSeconds: quick ? 5 : 15,
    entry: values.entry ?? defaultEntry(),
    jsonFile: values.json,
    check: values.check,
  };
}

/** The compiled program when there is one: that is what is shipped. */
function defaultEntry(): string {
  const compiled = "dist/turnpike.js";
  return existsSync(join(repository, compiled)) ? compiled : "src/main.ts";
}

function readList<T extends string>(
  option: string,
  text: string | undefined,
  known: readonly T[],
): readonly T[] {
  if (text === undefined) return known;
  const asked = text.split(",");
  const unknown = asked.find((name) => !known.some((one) => one === name));
  if (unknown !== undefined) {
    throw new RangeError(`${option}: "${unknown}" is none of ${known.join(", ")}`);
  }
  return known.filter((name) => asked.includes(name));
}

function readCount(option: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) {
    throw new RangeError(`${option}: "${text}" is not a whole number of at least 1`);
  }
  return count;
}
