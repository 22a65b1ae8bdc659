/** file < environment < flags → one frozen Config, or every error at once. */
import { crossProblems } from "./checks.ts";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import {
  configFileVariable,
  type Environment,
  unknownVariables,
  variableFor,
} from "./environment.ts";
import { type ConfigFile, readConfigFile } from "./file.ts";
import { type ConfigKey, configKeys } from "./keys.ts";
import { type Config, configSchema } from "./schema.ts";
import { faultsOf, valueOfText } from "./values.ts";

/** What was said on the command line: key path → the flag and its text. */
export type Flags = Readonly<Record<string, { readonly flag: string; readonly text: string }>>;

export interface LoadOptions {
  /** The configuration file (`--config`); without it TURNPIKE_CONFIG names one, or there is none. */
  readonly file?: string | undefined;
  readonly environment: Environment;
  readonly flags?: Flags;
}

/** A configuration and, for each key that is not at its default, who set it. */
export interface LoadedConfig {
  readonly config: Config;
  /** Key path → `turnpike.yaml:4`, `variable TURNPIKE_PORT` or `flag --port`. */
  readonly sources: ReadonlyMap<string, string>;
}

interface Candidate {
  readonly value: unknown;
  readonly source: string;
}

/** The configuration, deeply frozen. Throws ConfigError with every problem there is. */
export function loadConfig(options: LoadOptions): Config {
  return loadConfigWithSources(options).config;
}

/** As `loadConfig`, with where each value came from. */
export function loadConfigWithSources(options: LoadOptions): LoadedConfig {
  const file = fileOf(options);
  const problems: ConfigProblem[] = [...file.problems, ...unknownVariables(options.environment)];
  const faulty = new Set<string>();
  const sources = new Map<string, string>();
  const tree: Record<string, unknown> = {};
  for (const key of configKeys) {
    const candidates = candidatesFor(key, file, options);
    const faults = candidates.flatMap((candidate) => problemsOf(key, candidate));
    problems.push(...faults);
    const [strongest] = candidates;
    if (faults.length > 0) faulty.add(key.path);
    else if (strongest !== undefined) {
      place(tree, key.segments, strongest.value);
      sources.set(key.path, strongest.source);
    }
  }
  const config: Config = configSchema.parse(tree);
  problems.push(...crossProblems(config, faulty).map((problem) => located(problem, sources)));
  if (problems.length > 0) throw new ConfigError(problems);
  return { config: deepFrozen(config), sources };
}

function fileOf({ file, environment }: LoadOptions): ConfigFile {
  if (file !== undefined) return readConfigFile(file, "flag --config");
  const named = environment[configFileVariable];
  if (named) return readConfigFile(named, `variable ${configFileVariable}`);
  return { values: new Map(), problems: [] };
}

/** What was said about the key, the strongest first. The weaker ones are checked too: a wrong file is wrong. */
function candidatesFor(key: ConfigKey, file: ConfigFile, options: LoadOptions): Candidate[] {
  const flag = options.flags?.[key.path];
  const variable = variableFor(key, options.environment);
  const inFile = file.values.get(key.path);
  return [
    ...(flag ? [{ value: valueOfText(key, flag.text), source: `flag ${flag.flag}` }] : []),
    ...(variable
      ? [{ value: valueOfText(key, variable.text), source: `variable ${variable.variable}` }]
      : []),
    ...(inFile ? [inFile] : []),
  ];
}

function problemsOf(key: ConfigKey, { value, source }: Candidate): ConfigProblem[] {
  return faultsOf(key, value).map(({ part, message }) => ({
    key: `${key.path}${part}`,
    source,
    message,
  }));
}

function located(problem: ConfigProblem, sources: ReadonlyMap<string, string>): ConfigProblem {
  const source = sources.get(problem.key);
  return source === undefined ? problem : { ...problem, source };
}

function place(tree: Record<string, unknown>, segments: readonly string[], value: unknown): void {
  const [name, ...rest] = segments;
  if (name === undefined) return;
  if (rest.length === 0) {
    tree[name] = value;
    return;
  }
  const section = (tree[name] ?? {}) as Record<string, unknown>;
  tree[name] = section;
  place(section, rest, value);
}

function deepFrozen<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const child of Object.values(value)) deepFrozen(child);
  return Object.freeze(value);
}

/** The value of a key in a configuration. */
export function valueAt(config: Config, key: ConfigKey): unknown {
  return key.segments.reduce<unknown>(
    (value, name) => (value as Record<string, unknown> | undefined)?.[name],
    config,
  );
}
