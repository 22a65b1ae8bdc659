/**
 * An agent behind a URL: gets the rollout request by POST, answers `{reward | rewards, status?}` when it is done.
 * The URL is the configuration's; nothing of a request decides where this goes.
 */
import { setTimeout as pause } from "node:timers/promises";
import { Agent, request } from "undici";
import {
  type Conclusion,
  clause,
  concludeFailure,
  concludeSuccess,
  type Failure,
  type OnFailure,
} from "../exec/agent-conclusion.ts";
import { rewardOfValue } from "../exec/reward-text.ts";
import { version } from "../version.ts";
import {
  type AgentKey,
  type RolloutJob,
  type RunAgent,
  withTurnpikeFields,
} from "./rollout-job.ts";

export interface HttpAgentSettings {
  readonly url: string;
  readonly apiKey: AgentKey;
  readonly onFailure: OnFailure;
  /** How long an agent that refuses connections may take to come up, in milliseconds; default 30,000. */
  readonly startUpMs?: number;
}

/** Beyond this an answer is no `{"reward": …}`. */
const maxAnswerBytes = 1_048_576;

export function createHttpAgent(settings: HttpAgentSettings): {
  readonly run: RunAgent;
  readonly close: () => Promise<void>;
} {
  // The rollout's deadline ends a call; undici's own timers would at 300 s.
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 10_000 } });
  return {
    run: (job) => runHttpAgent(job, settings, dispatcher),
    close: () => dispatcher.destroy(),
  };
}

async function runHttpAgent(
  job: RolloutJob,
  settings: HttpAgentSettings,
  dispatcher: Agent,
): Promise<Conclusion> {
  const deadline = AbortSignal.timeout(Math.max(1, Math.ceil(job.timeLeftMs)));
  const signal = AbortSignal.any([deadline, job.interrupt]);
  try {
    const { status, text } = await call({ job, settings, dispatcher, signal });
    return concludeAnswer(status, text, settings.onFailure);
  } catch (thrown) {
    return concludeFailure(failureOf(thrown, job, deadline), settings.onFailure);
  }
}

interface AgentCall {
  readonly job: RolloutJob;
  readonly settings: HttpAgentSettings;
  readonly dispatcher: Agent;
  readonly signal: AbortSignal;
}

interface AgentAnswer {
  readonly status: number;
  readonly text: string;
}

/** Refused connections reached nobody, so they are tried again while an agent beside turnpike may still be starting. */
async function call(agentCall: AgentCall): Promise<AgentAnswer> {
  const { job, settings, signal } = agentCall;
  const body = withTurnpikeFields(job, settings.apiKey);
  const until = performance.now() + (settings.startUpMs ?? 30_000);
  for (;;) {
    try {
      return await post(body, agentCall);
    } catch (thrown) {
      const isRefused = (thrown as { code?: string }).code === "ECONNREFUSED";
      if (!isRefused || performance.now() > until) throw thrown;
      await pause(250, undefined, { signal });
    }
  }
}

async function post(
  body: string,
  { settings, dispatcher, signal }: AgentCall,
): Promise<AgentAnswer> {
  const answer = await request(settings.url, {
    method: "POST",
    headers: { "content-type": "application/json", "user-agent": `turnpike/${version}` },
    body,
    dispatcher,
    signal,
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) {
      answer.body.destroy();
      break;
    }
    chunks.push(chunk);
  }
  return { status: answer.statusCode, text: Buffer.concat(chunks).toString("utf8") };
}

function concludeAnswer(status: number, text: string, onFailure: OnFailure): Conclusion {
  if (status < 200 || status > 299) {
    const detail = `the agent answered ${status}`;
    return concludeFailure({ outcome: "crashed", detail }, onFailure);
  }
  try {
    return concludeSuccess(
      `the agent answered ${status}`,
      rewardOfValue(parsed(text), "the agent's answer"),
    );
  } catch (thrown) {
    const why =
      thrown instanceof SyntaxError ? "the body is not JSON" : clause((thrown as Error).message);
    const detail = `the agent answered ${status}, but ${why}`;
    return concludeFailure({ outcome: "invalid_answer", detail }, onFailure);
  }
}

/** A bare number would be a reward in a program's output; an answer says what it is. */
function parsed(text: string): unknown {
  const value: unknown = JSON.parse(text);
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}

function failureOf(thrown: unknown, { interrupt }: RolloutJob, deadline: AbortSignal): Failure {
  if (interrupt.aborted) {
    return { outcome: "interrupted", detail: "turnpike was shut down before the agent answered" };
  }
  if (deadline.aborted) {
    return { outcome: "timed_out", detail: "the agent had not answered by its deadline" };
  }
  const { code, message } = thrown as Error & { code?: string };
  return {
    outcome: "crashed",
    detail:
      code === "ECONNREFUSED"
        ? "the agent cannot be reached (ECONNREFUSED); agent.url says where it is"
        : `the connection to the agent broke (${code ?? message})`,
  };
}
