/** One rollout as the ingress hands it to an agent. */
import type { Conclusion } from "../exec/agent-conclusion.ts";
import type { RegisteredRollout } from "../http/register-rollout.ts";

export interface RolloutJob {
  readonly registered: RegisteredRollout;
  /** The request's own bytes: an agent may know fields that turnpike does not. */
  readonly body: Buffer;
  /** Until its agent is ended, in milliseconds. */
  readonly timeLeftMs: number;
  /** Aborted when turnpike ends before the agent does. */
  readonly interrupt: AbortSignal;
}

/** Never rejects for what the agent did: that is a conclusion. */
export type RunAgent = (job: RolloutJob) => Promise<Conclusion>;

/** One of the gateway's keys for the agent, where it asks for one. */
export type AgentKey = string | undefined;

/** The request as it came, byte for byte, with one member more, `turnpike`: what POST /rollouts answers. */
export function withTurnpikeFields({ body, registered }: RolloutJob, apiKey: AgentKey): string {
  const text = body.toString("utf8");
  const end = text.lastIndexOf("}");
  const isEmpty = /^\s*\{\s*$/.test(text.slice(0, end));
  const fields = JSON.stringify({
    ...registered,
    ...(apiKey === undefined
      ? {}
      : { api_key: apiKey, env: { ...registered.env, OPENAI_API_KEY: apiKey } }),
  });
  return `${text.slice(0, end)}${isEmpty ? "" : ","}"turnpike":${fields}}`;
}
