/** The fields of a rollout request under the names that the dialects give them (service.md, "What the trainer sends"). */
import { quote } from "../identity/trajectory-id.ts";
import type { Problems } from "./problems.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Paths of at most two names, in the order in which they are looked at. */
export type Spellings = readonly [string, ...string[]];

export interface NamedValue {
  readonly value: unknown;
  /** The path under which it stood. */
  readonly path: string;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `null` is as good as absent: serialisers of optional fields write it. */
export function valueAt(body: JsonObject, path: string): unknown {
  const value = path
    .split(".")
    .reduce<unknown>(
      (inner, name) => (isObject(inner) && Object.hasOwn(inner, name) ? inner[name] : undefined),
      body,
    );
  return value ?? undefined;
}

/** What a request says under any of the spellings; two that differ are a problem that names both. */
export function oneOf(
  body: JsonObject,
  spellings: Spellings,
  problems: Problems,
): NamedValue | undefined {
  const given = spellings.flatMap((path) => {
    const value = valueAt(body, path);
    return value === undefined ? [] : [{ value, path }];
  });
  const [first] = given;
  const other = given.find(({ value }) => JSON.stringify(value) !== JSON.stringify(first?.value));
  if (first !== undefined && other !== undefined) {
    problems.invalid(
      first.path,
      `\`${first.path}\` says ${told(first.value)}, but \`${other.path}\` says ${told(other.value)}; leave one out.`,
    );
  }
  return first;
}

/** The same, where only a text will do. */
export function textOf(
  body: JsonObject,
  spellings: Spellings,
  problems: Problems,
): (NamedValue & { readonly value: string }) | undefined {
  const named = oneOf(body, spellings, problems);
  if (named === undefined) return undefined;
  const { value, path } = named;
  if (typeof value === "string") return { value, path };
  problems.invalid(path, `\`${path}\` is ${kindOf(value)}; it must be a text.`);
  return undefined;
}

export function kindOf(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "number") return `${value}`;
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "string") return `the text ${quote(value.slice(0, 60))}`;
  return "an object";
}

function told(value: unknown): string {
  return typeof value === "string" ? quote(value) : kindOf(value);
}
