/** What every scenario is handed, and what it hands back. */
import type { Options, ScenarioName, TargetName } from "./options.ts";
import type { Payloads } from "./payloads.ts";
import type { Upstream } from "./upstream.ts";

export interface Bench {
  readonly options: Options;
  readonly payloads: Payloads;
  readonly upstream: Upstream;
  readonly directory: string;
}

/** One line of the table. */
export interface Row {
  readonly measure: string;
  readonly cells: Partial<Record<TargetName, string>>;
  /** What was aimed at, in words. */
  readonly aim: string;
  /** Undefined when it could not be judged, e.g. for want of the floor. */
  readonly met: boolean | undefined;
}

export interface ScenarioResult {
  readonly scenario: ScenarioName;
  readonly rows: readonly Row[];
  /** Sentences under the table. */
  readonly notes: readonly string[];
  /** Every figure, for --json. */
  readonly figures: unknown;
}

export type Scenario = (bench: Bench) => Promise<ScenarioResult>;

/** Progress goes to stderr, the table to stdout. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
