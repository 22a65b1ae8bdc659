/** Token counts out of a model's answer, without parsing the answer: it is on the corridor. */

export interface TokenCounts {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** A usage object is this near to its key; `prompt_tokens_details` may stand between the counts. */
const usageSpan = 512;
/** As bytes: a string would be turned into them for every answer. */
const usageKey = Buffer.from('"usage"');

/**
 * The last usage object in a JSON text. Text inside strings cannot be taken for it: there the quotes
 * are escaped. `undefined` where there is none, or where it is `null`.
 */
export function findUsage(json: Buffer): TokenCounts | undefined {
  const at = json.lastIndexOf(usageKey);
  if (at < 0) return undefined;
  const text = json.toString("latin1", at, Math.min(json.length, at + usageSpan));
  const prompt = /"prompt_tokens"\s*:\s*(\d+)/.exec(text)?.[1];
  const completion = /"completion_tokens"\s*:\s*(\d+)/.exec(text)?.[1];
  if (prompt === undefined || completion === undefined) return undefined;
  return { promptTokens: Number(prompt), completionTokens: Number(completion) };
}
