/** A value given for a key: from a variable's or flag's text, checked, and said again in an error. */
import { z } from "zod";
import { type ConfigKey, innerType } from "./keys.ts";

/** What is wrong with a value: which part of it, and why. */
export interface ValueFault {
  /** `""` for the whole value, `[2]` for an element of a list. */
  readonly part: string;
  readonly message: string;
}

const truths: Readonly<Record<string, boolean>> = {
  true: true,
  "1": true,
  yes: true,
  on: true,
  false: false,
  "0": false,
  no: false,
  off: false,
};

/**
 * The value a variable's or flag's text stands for: lists are separated by commas or are JSON.
 * Text that does not fit its key's type comes back as it is, for `faultsOf` to refuse.
 */
export function valueOfText(key: ConfigKey, text: string): unknown {
  const type = innerType(key.schema);
  if (type instanceof z.ZodNumber)
    return numberPattern(type).test(text.trim()) ? Number(text) : text;
  if (type instanceof z.ZodBoolean) return truths[text.trim().toLowerCase()] ?? text;
  if (type instanceof z.ZodArray) return listOfText(innerType(type.element as z.ZodType), text);
  return text;
}

function numberPattern(type: z.ZodNumber): RegExp {
  return type.isInt ? /^-?\d+$/ : /^-?\d+(?:\.\d+)?$/;
}

function listOfText(element: z.ZodType, text: string): unknown {
  if (text.trim().startsWith("[")) return jsonOr(text);
  if (!(element instanceof z.ZodString || element instanceof z.ZodURL)) return text;
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Why the value is not allowed for the key; empty where it is. Secrets are not repeated. */
export function faultsOf(key: ConfigKey, value: unknown): readonly ValueFault[] {
  const result = key.schema.safeParse(value);
  if (result.success) return [];
  const faults = result.error.issues.map((issue) => {
    if (issue.path.length > 1 || issue.code === "unrecognized_keys")
      return memberFault(value, issue);
    const inElement = typeof issue.path[0] === "number";
    const type = inElement ? elementOf(key.schema) : innerType(key.schema);
    const given = inElement ? (value as unknown[])[issue.path[0] as number] : value;
    const shown = key.meta.secret === true ? "(not shown)" : JSON.stringify(given);
    return {
      part: inElement ? `[${String(issue.path[0])}]` : "",
      message: `must be ${allowedBy(type, issue)}, not ${clipped(shown)}`,
    };
  });
  // One line per element is enough: a text may be both too short and ill-formed.
  return [...new Map(faults.map((fault) => [fault.part, fault])).values()];
}

/** Of a member of an object in a list, `[0].base_url`: in the schema's own words. */
function memberFault(value: unknown, issue: z.core.$ZodIssue): ValueFault {
  const part = issue.path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`))
    .join("");
  if (issue.code === "unrecognized_keys") {
    return { part, message: `has unknown members: ${issue.keys.join(", ")}` };
  }
  const given = issue.path.reduce<unknown>(
    (inner, step) => (inner as Record<PropertyKey, unknown> | undefined)?.[step],
    value,
  );
  return { part, message: `${issue.message}; given is ${clipped(JSON.stringify(given))}` };
}

function elementOf(schema: z.ZodType): z.ZodType {
  const type = innerType(schema);
  return type instanceof z.ZodArray ? innerType(type.element as z.ZodType) : type;
}

function clipped(text: string | undefined): string {
  if (text === undefined) return "nothing";
  const shown = withoutPassword(text);
  return shown.length > 100 ? `${shown.slice(0, 99)}…` : shown;
}

/** URLs of proxies carry a user and password at times. */
export function withoutPassword(text: string): string {
  return text.replace(/\/\/[^/@\s"]+@/g, "//***@");
}

function allowedBy(type: z.ZodType, issue: z.core.$ZodIssue): string {
  const ownWords = issue.code === "custom" || (issue.code === "invalid_format" && !isUrl(type));
  return ownWords ? issue.message.replace(/^must be /, "") : describeType(type);
}

function isUrl(type: z.ZodType): boolean {
  return type instanceof z.ZodURL;
}

/** What a type takes, in words: `a whole number from 0 to 65535`. */
export function describeType(schema: z.ZodType): string {
  const type = innerType(schema);
  if (type instanceof z.ZodURL) return "an http or https URL";
  if (type instanceof z.ZodString)
    return `text${bounds(type.minLength, type.maxLength, "character")}`;
  if (type instanceof z.ZodNumber)
    return `a ${type.isInt ? "whole " : ""}number${range(type.minValue, type.maxValue)}`;
  if (type instanceof z.ZodBoolean) return "true or false";
  if (type instanceof z.ZodEnum) return `one of ${type.options.join(", ")}`;
  if (type instanceof z.ZodArray) return `a list of ${describeElement(type.element as z.ZodType)}`;
  return "an object";
}

function describeElement(element: z.ZodType): string {
  const type = innerType(element);
  if (type instanceof z.ZodString)
    return `texts${bounds(type.minLength, type.maxLength, "character")}`;
  if (type instanceof z.ZodObject)
    return `objects with ${Object.keys(type.shape as object).join(", ")}`;
  return type instanceof z.ZodRecord ? "objects" : `${describeType(type)} each`;
}

function bounds(least: number | null, most: number | null, unit: string): string {
  if (least === null || most === null) return "";
  return ` of ${least} to ${most} ${unit}s`;
}

function range(least: number | null, most: number | null): string {
  const top = most === Number.MAX_SAFE_INTEGER ? null : most;
  if (least !== null && top !== null) return ` from ${least} to ${top}`;
  return least === null ? "" : ` of at least ${least}`;
}
