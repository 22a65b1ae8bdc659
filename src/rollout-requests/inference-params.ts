/** The trainer's inference parameters, in either case of letters. */
import type { SamplingParameters } from "../openai/sampling.ts";
import { isObject, type JsonObject, kindOf, oneOf, type Spellings } from "./fields.ts";
import type { Problems } from "./problems.ts";

const parts = {
  temperature: ["temperature"],
  topP: ["top_p", "topP"],
  maxTokens: ["max_tokens", "maxTokens"],
} as const satisfies Record<string, Spellings>;

interface Range {
  readonly isIn: (value: number) => boolean;
  readonly words: string;
}

const ranges: Readonly<Record<keyof typeof parts, Range>> = {
  temperature: { isIn: (value) => value >= 0, words: "a number of at least 0" },
  topP: { isIn: (value) => value >= 0 && value <= 1, words: "a number from 0 to 1" },
  maxTokens: {
    isIn: (value) => Number.isInteger(value) && value >= 1,
    words: "a whole number of at least 1",
  },
};

export interface InferenceParams {
  readonly sampling: SamplingParameters;
  /** Paths of those that turnpike does not know and so does not enforce. */
  readonly ignored: readonly string[];
}

const sections: Spellings = ["inference_params", "inferenceParams"];

export function readInferenceParams(body: JsonObject, problems: Problems): InferenceParams {
  const section = oneOf(body, sections, problems);
  if (section === undefined) return { sampling: {}, ignored: [] };
  const { value, path } = section;
  if (!isObject(value)) {
    problems.invalid(path, `\`${path}\` is ${kindOf(value)}; it must be an object.`);
    return { sampling: {}, ignored: [] };
  }
  const known: readonly string[] = Object.values(parts).flat();
  const ignored = Object.keys(value).filter((name) => !known.includes(name));
  const sampling = Object.fromEntries(
    Object.entries(parts).flatMap(([part, names]) => {
      const number = readNumber(
        body,
        { path, names, range: ranges[part as keyof typeof parts] },
        problems,
      );
      return number === undefined ? [] : [[part, number]];
    }),
  );
  return { sampling, ignored: ignored.map((name) => `${path}.${name}`) };
}

interface Wanted {
  readonly path: string;
  readonly names: readonly string[];
  readonly range: Range;
}

function readNumber(body: JsonObject, wanted: Wanted, problems: Problems): number | undefined {
  const [first = "", ...others] = wanted.names.map((name) => `${wanted.path}.${name}`);
  const named = oneOf(body, [first, ...others], problems);
  if (named === undefined) return undefined;
  const { value, path } = named;
  if (typeof value === "number" && Number.isFinite(value) && wanted.range.isIn(value)) return value;
  problems.invalid(path, `\`${path}\` is ${kindOf(value)}; it must be ${wanted.range.words}.`);
  return undefined;
}
