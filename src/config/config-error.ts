/** One thing wrong with the configuration. */
export interface ConfigProblem {
  /** Path of the key (`server.port`), or the name of what is not one. */
  readonly key: string;
  /** Where it was said: `turnpike.yaml:4`, `variable TURNPIKE_PORT`, `flag --port`. */
  readonly source?: string;
  /** What is allowed, what was given (never a secret), what to do. */
  readonly message: string;
}

/** Every problem of the configuration at once; the message lists them, one line each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: ErrorOptions) {
    const count = problems.length === 1 ? "an error" : `${problems.length} errors`;
    super([`the configuration has ${count}:`, ...problems.map(problemLine)].join("\n"), options);
    this.problems = problems;
  }
}

function problemLine({ key, source, message }: ConfigProblem): string {
  return `  ${key}: ${message}${source === undefined ? "" : ` (${source})`}`;
}
