import type { Environment } from "../config/environment.ts";
import type { Flags } from "../config/load.ts";

/** What a command gets from the process it runs in. */
export interface ProcessContext {
  readonly environment: Environment;
  /** Aborted by the first SIGTERM or SIGINT: end gracefully. */
  readonly stop: AbortSignal;
  /** A line for standard output: what the command is asked for. */
  readonly print: (text: string) => void;
  /** A line for standard error. */
  readonly warn: (text: string) => void;
}

/** … and from its command line. */
export interface CommandContext extends ProcessContext {
  /** `--config`; without it TURNPIKE_CONFIG counts. */
  readonly file: string | undefined;
  readonly flags: Flags;
  /** Flags of the command that are no keys, by their camel-case names: text, or true for one without a value. */
  readonly options: Readonly<Record<string, string | true | undefined>>;
  /** What follows the flags. */
  readonly operands: readonly string[];
}

/** Runs to its end and returns the exit code. Throws ConfigError (exit 2) or anything else (exit 1). */
export type Command = (context: CommandContext) => Promise<number>;

/** Settles when the process is asked to end. */
export async function stopped(stop: AbortSignal): Promise<void> {
  if (stop.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  stop.addEventListener("abort", () => resolve(), { once: true });
  await promise;
}
