/** The keys of auxiliary servers: secrets, so they are apart from the configuration and read once, at start-up. */
import { ConfigError } from "./config-error.ts";
import type { Environment } from "./environment.ts";
import type { Config } from "./schema.ts";

/** Variable name → key. */
export type AuxiliaryKeys = ReadonlyMap<string, string>;

/** Throws ConfigError that names every variable `auxiliary` counts on and the environment has not. */
export function readAuxiliaryKeys(config: Config, environment: Environment): AuxiliaryKeys {
  const named = config.auxiliary.flatMap((each) => each.api_key_env ?? []);
  const missing = config.auxiliary.flatMap(({ api_key_env: name }, at) =>
    name === undefined || environment[name] ? [] : [{ name, at }],
  );
  if (missing.length > 0) {
    throw new ConfigError(
      missing.map(({ name, at }) => ({
        key: `auxiliary[${at}].api_key_env`,
        message: `the variable ${name} is not set; it holds the key of that server. Set it, or leave api_key_env out where none is asked for`,
      })),
    );
  }
  return new Map(named.map((name) => [name, environment[name] ?? ""]));
}
