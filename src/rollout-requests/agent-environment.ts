/** What an agent has to set so that its calls are captured as one rollout's turns. */
import { jobArnHeader, rolloutKeyPrefix, trajectoryHeader } from "../identity/identify.ts";
import type { RolloutKey } from "../rollouts/ledger.ts";

export interface GatewayAddress {
  /** The gateway's own URL as agents reach it, without a final slash. */
  readonly url: string;
  /** server.api_keys are set: then the key is no place for the rollout's name. */
  readonly asksForKey: boolean;
}

export interface AgentEnvironment {
  /** Ends in `/v1`, as OPENAI_BASE_URL does. */
  readonly baseUrl: string;
  /** `null` where turnpike asks for a key of its own: the agent keeps the one it has. */
  readonly apiKey: string | null;
  /** The variables that unmodified clients obey (clients.md, "What they send"). */
  readonly variables: Readonly<Record<string, string>>;
}

export function agentEnvironment(
  { trajectoryId, jobArn }: RolloutKey,
  { url, asksForKey }: GatewayAddress,
): AgentEnvironment {
  const baseUrl = `${url}/rollouts/${encodeURIComponent(trajectoryId)}/v1`;
  const apiKey = asksForKey ? null : `${rolloutKeyPrefix}${trajectoryId}`;
  return {
    baseUrl,
    apiKey,
    variables: {
      OPENAI_BASE_URL: baseUrl,
      // Left out where turnpike asks for a key, so that setting all of them keeps the agent's own.
      ...(apiKey === null ? {} : { OPENAI_API_KEY: apiKey }),
      OPENAI_CUSTOM_HEADERS: `${jobArnHeader}: ${jobArn}\n${trajectoryHeader}: ${trajectoryId}`,
    },
  };
}

/** `export NAME='value'`, a line each; for any POSIX shell: `eval "$(…)"`. Nothing in single quotes has a meaning. */
export function shellExports(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join("");
}
