/**
 * The sampling parameters of a rollout, put into its turns whatever the agent hard-codes: an agent with a
 * temperature of its own corrupts a validation that runs at 0 (service.md, "What hurts", 6).
 * temperature and top_p are replaced, max_tokens and max_completion_tokens are the smaller of the two.
 */
import { objectMembers, type Splice, spliced } from "./json-members.ts";

/** What to enforce; an absent one is the agent's business. */
export interface SamplingParameters {
  readonly temperature?: number;
  readonly topP?: number;
  readonly maxTokens?: number;
  /** The model's name. */
  readonly model?: string;
}

const names = ["model", "temperature", "top_p", "max_tokens", "max_completion_tokens"] as const;
type SampledName = (typeof names)[number];

/** One member of one body that was changed or added. */
export interface SamplingChange {
  readonly parameter: SampledName;
  /** What the agent said: a number, or a text cut to 100 characters; `null` where it said nothing usable. */
  readonly asked: number | string | null;
  readonly sent: number | string;
}

/** A body as it goes to the model. */
export interface ShapedRequest {
  /** The very same buffer where nothing had to be changed. */
  readonly body: Buffer;
  readonly changes: readonly SamplingChange[];
}

const nothingChanged: readonly SamplingChange[] = [];

/** `parsed` is what `body` holds. Bytes outside of the changed values stay as they are. */
export function enforceSampling(
  parameters: SamplingParameters,
  parsed: Readonly<Record<string, unknown>>,
  body: Buffer,
): ShapedRequest {
  const changes = changesFor(parameters, parsed);
  if (changes.length === 0) return { body, changes: nothingChanged };
  return { body: withChanges(body, changes), changes };
}

function changesFor(
  { model, temperature, topP, maxTokens }: SamplingParameters,
  parsed: Readonly<Record<string, unknown>>,
): SamplingChange[] {
  const changes: SamplingChange[] = [];
  const replace = (parameter: SampledName, sent: number | string | undefined): void => {
    const asked = parsed[parameter];
    if (sent !== undefined && asked !== sent)
      changes.push({ parameter, asked: shown(asked), sent });
  };
  replace("model", model);
  replace("temperature", temperature);
  replace("top_p", topP);
  if (maxTokens === undefined) return changes;
  // The newer name is bounded where the agent uses it; both at once are refused by some models, so the older
  // one is added only where there is neither.
  const usesNewer = typeof parsed["max_completion_tokens"] === "number";
  const usesOlder = typeof parsed["max_tokens"] === "number";
  if (usesNewer)
    replace("max_completion_tokens", atMost(parsed["max_completion_tokens"], maxTokens));
  if (usesOlder || !usesNewer) replace("max_tokens", atMost(parsed["max_tokens"], maxTokens));
  return changes;
}

function atMost(asked: unknown, bound: number): number {
  return typeof asked === "number" ? Math.min(asked, bound) : bound;
}

function shown(asked: unknown): number | string | null {
  if (typeof asked === "number") return asked;
  return typeof asked === "string" ? asked.slice(0, 100) : null;
}

function withChanges(body: Buffer, changes: readonly SamplingChange[]): Buffer {
  const members = objectMembers(body);
  const splices: Splice[] = [];
  const added: string[] = [];
  for (const { parameter, sent } of changes) {
    const text = JSON.stringify(sent);
    const places = members.filter(({ name }) => name === parameter);
    // A repeated name counts by its last value for most parsers and by its first for some: all of them.
    for (const { start, end } of places) splices.push({ start, end, text });
    if (places.length === 0) added.push(`"${parameter}":${text}`);
  }
  if (added.length > 0) splices.push(addition(body, added, members.length === 0));
  return spliced(
    body,
    splices.sort((one, other) => one.start - other.start),
  );
}

/** Right after the opening brace. */
function addition(body: Buffer, added: readonly string[], isAlone: boolean): Splice {
  const start = body.indexOf("{") + 1;
  return { start, end: start, text: `${added.join(",")}${isAlone ? "" : ","}` };
}
