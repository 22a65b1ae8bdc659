/** The schema as a flat list of keys: what the loader, the example and check-config go through. */
import { z } from "zod";
import type { KeyMeta } from "./key.ts";
import { configSchema } from "./schema.ts";

/** One key of the configuration. */
export interface ConfigKey {
  /** `server.port` */
  readonly path: string;
  readonly segments: readonly string[];
  readonly schema: z.ZodType;
  readonly meta: KeyMeta;
  readonly defaultValue: unknown;
}

/** Every key, in the schema's order. */
export const configKeys: readonly ConfigKey[] = Array.from(keysOf(configSchema, []));

const byPath = new Map(configKeys.map((key) => [key.path, key]));
const sections = new Set(configKeys.flatMap((key) => key.segments.slice(0, -1)));

/** The key of that path. */
export function configKey(path: string): ConfigKey | undefined {
  return byPath.get(path);
}

/** Whether the name is a section (`server`) and not a key. */
export function isSection(name: string): boolean {
  return sections.has(name);
}

/** Every name an error may suggest: keys and sections. */
export function knownNames(): readonly string[] {
  return [...sections, ...byPath.keys()];
}

/** The variables of a key, the strongest first. */
export function variablesOf(key: ConfigKey): readonly string[] {
  return [key.meta.env, ...(key.meta.alsoEnv ?? [])];
}

/** A type without its default, prefault and null: what a value that is given must be. */
export function innerType(schema: z.ZodType): z.ZodType {
  let type = schema;
  while (
    type instanceof z.ZodDefault ||
    type instanceof z.ZodPrefault ||
    type instanceof z.ZodNullable ||
    type instanceof z.ZodOptional
  ) {
    type = type.unwrap() as z.ZodType;
  }
  return type;
}

function* keysOf(schema: z.ZodType, parents: readonly string[]): Generator<ConfigKey> {
  const type = innerType(schema);
  if (!(type instanceof z.ZodObject)) throw new Error(`${parents.join(".")} is not a section`);
  for (const [name, child] of Object.entries(type.shape as Record<string, z.ZodType>)) {
    const segments = [...parents, name];
    const meta = child.meta() as KeyMeta | undefined;
    if (meta?.env === undefined) yield* keysOf(child, segments);
    else yield keyOf(segments, child, meta);
  }
}

function keyOf(segments: readonly string[], schema: z.ZodType, meta: KeyMeta): ConfigKey {
  const path = segments.join(".");
  return { path, segments, schema, meta, defaultValue: schema.parse(undefined) };
}
