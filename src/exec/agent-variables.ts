/** What an agent that turnpike starts finds in its environment besides what it had. */
import type { AgentEnvironment } from "../rollout-requests/agent-environment.ts";

/** Linux takes at most 128 KiB in one variable; a longer prompt is on the standard input or in the request's file. */
const maxPromptBytes = 100_000;

export interface StartedRollout {
  readonly id: string;
  readonly jobArn: string;
  /** A text as it is, a conversation as JSON. */
  readonly prompt: unknown;
  readonly variables: AgentEnvironment["variables"];
  /** server.api_keys[0], where the gateway asks for a key. */
  readonly apiKey: string | undefined;
}

export function agentVariables(rollout: StartedRollout): Record<string, string> {
  const { id, jobArn, prompt, variables, apiKey } = rollout;
  const text =
    typeof prompt === "string" ? prompt : prompt === null ? undefined : JSON.stringify(prompt);
  const isShort =
    text !== undefined && Buffer.byteLength(text) <= maxPromptBytes && !text.includes("\0");
  return {
    ...variables,
    ...(apiKey === undefined ? {} : { OPENAI_API_KEY: apiKey }),
    ROLLOUT_ID: id,
    ROLLOUT_JOB_ARN: jobArn,
    ...(isShort ? { ROLLOUT_PROMPT: text } : {}),
  };
}
