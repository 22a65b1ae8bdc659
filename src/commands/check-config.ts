/** `turnpike check-config`: the effective configuration with the source of each value, or every error. */
import { readAuxiliaryKeys } from "../config/auxiliary-keys.ts";
import { type ConfigKey, configKeys } from "../config/keys.ts";
import { type LoadedConfig, loadConfigWithSources, valueAt } from "../config/load.ts";
import { regionMismatch } from "../config/region.ts";
import { withoutPassword } from "../config/values.ts";
import type { CommandContext } from "./command.ts";

export function runCheckConfig(context: CommandContext): Promise<number> {
  const loaded = loadConfigWithSources(context);
  readAuxiliaryKeys(loaded.config, context.environment);
  for (const line of effectiveLines(loaded)) context.print(line);
  const mismatch = regionMismatch(loaded);
  if (mismatch !== undefined) context.warn(`turnpike: ${mismatch.text}. ${mismatch.advice}`);
  return Promise.resolve(0);
}

/** In the file's own form, each value with who set it. */
function* effectiveLines(loaded: LoadedConfig): Generator<string> {
  let section: string | undefined;
  for (const key of configKeys) {
    const [first, name] = key.segments;
    if (name !== undefined && first !== section) {
      section = first;
      yield `${section}:`;
    }
    const indented = name === undefined ? `${first}` : `  ${name}`;
    const source = loaded.sources.get(key.path) ?? "default";
    yield `${`${indented}: ${shownValue(loaded, key)}`.padEnd(36)} # ${source}`;
  }
}

/** The value as YAML would take it; of a secret only whether there is one. */
function shownValue({ config }: LoadedConfig, key: ConfigKey): string {
  const value = valueAt(config, key);
  const isUnset = value === null || (Array.isArray(value) && value.length === 0);
  if (key.meta.secret === true && !isUnset) return "***";
  return withoutPassword(JSON.stringify(value));
}
