/** The configuration file: YAML (or JSON, which is YAML), each key with the line it stands on. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { configKey, isSection, knownNames } from "./keys.ts";
import { nearest } from "./nearest.ts";

/** A value of the file. */
export interface FileValue {
  readonly value: unknown;
  /** `turnpike.yaml:4` */
  readonly source: string;
}

/** The keys a file gives and what is wrong with its form. */
export interface ConfigFile {
  readonly values: ReadonlyMap<string, FileValue>;
  readonly problems: readonly ConfigProblem[];
}

interface Entry {
  readonly name: string;
  readonly value: unknown;
  readonly line: number;
  /** The value's own entries where it is a mapping. */
  readonly entries: readonly Entry[] | undefined;
}

/** Reads and walks the file. `source` says who named it, for when it cannot be read. */
export function readConfigFile(path: string, source: string): ConfigFile {
  const document = parseMapping(readText(path, source), path);
  const values = new Map<string, FileValue>();
  const problems = [...document.problems];
  const take = (name: string, { value, line }: Entry): void => {
    const place = `${path}:${line}`;
    if (configKey(name) === undefined) problems.push(unknownKey(name, place));
    else values.set(name, { value, source: place });
  };
  for (const entry of document.entries) {
    if (!isSection(entry.name)) take(entry.name, entry);
    else if (entry.entries === undefined) problems.push(...notASection(entry, path));
    else for (const child of entry.entries) take(`${entry.name}.${child.name}`, child);
  }
  return { values, problems };
}

function readText(path: string, source: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError([{ key: path, source, message: `cannot be read: ${reason}` }], {
      cause: error,
    });
  }
}

function parseMapping(
  text: string,
  path: string,
): { entries: readonly Entry[]; problems: readonly ConfigProblem[] } {
  // Loaded only when there is a file: most sidecars have none, and start-up time counts.
  const yaml = createRequire(import.meta.url)("yaml") as typeof import("yaml");
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems = document.errors.map((error) => ({
    key: path,
    source: `${path}:${lines.linePos(error.pos[0]).line}`,
    message: `is not YAML: ${error.message}`,
  }));
  if (problems.length > 0 || document.contents === null) return { entries: [], problems };
  const entriesOf = (node: unknown): readonly Entry[] | undefined => {
    const map = yaml.isAlias(node) ? node.resolve(document) : node;
    if (!yaml.isMap(map)) return undefined;
    return map.items.map(({ key, value }) => ({
      name: String(yaml.isScalar(key) ? key.value : key),
      value: yaml.isNode(value) ? value.toJS(document) : value,
      line: yaml.isNode(key) && key.range ? lines.linePos(key.range[0]).line : 1,
      entries: entriesOf(value),
    }));
  };
  const entries = entriesOf(document.contents);
  if (entries !== undefined) return { entries, problems };
  const message = "must be a mapping of sections such as `server:`";
  return { entries: [], problems: [{ key: path, message }] };
}

/** A section whose keys are all commented out is null, and as good as absent. */
function notASection({ name, value, line }: Entry, path: string): ConfigProblem[] {
  if (value === null) return [];
  const message = "must be a section with keys of its own";
  return [{ key: name, source: `${path}:${line}`, message }];
}

function unknownKey(key: string, source: string): ConfigProblem {
  const meant = nearest(key, knownNames());
  const hint =
    meant === undefined ? "config.example.yaml shows them all" : `did you mean ${meant}?`;
  return { key, source, message: `unknown key; ${hint}` };
}
