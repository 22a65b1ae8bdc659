/**
 * One command as one rollout: register → run → reward → report. Errors of the agent are outcomes here; only what
 * keeps the rollout from being known or reported is thrown or told.
 */
import type { Writable } from "node:stream";
import { toGatewayError } from "../errors.ts";
import type { JsonObject } from "../rollout-requests/fields.ts";
import {
  type Conclusion,
  clause,
  concludeFailure,
  concludeSuccess,
  describeReport,
  failureOfExit,
  type OnFailure,
} from "./agent-conclusion.ts";
import { type AgentExit, AgentProcess } from "./agent-process.ts";
import { agentVariables } from "./agent-variables.ts";
import { type GatewayClient, GatewayRefusal, type Registered } from "./gateway-client.ts";
import { type RewardSource, readReward } from "./reward-source.ts";

export interface ExecOptions {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** The rollout request, in any dialect. */
  readonly request: JsonObject;
  /** `undefined`: the rollout is completed without a reward. */
  readonly reward: RewardSource | undefined;
  readonly onFailure: OnFailure;
  readonly timeoutMs: number | undefined;
}

export interface ExecContext {
  readonly gateway: GatewayClient;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** One of the gateway's keys, where it asks for one. */
  readonly apiKey: string | undefined;
  /** Where the agent's output goes when it is read for the reward; otherwise it inherits. */
  readonly output: Writable;
  /** The turns in full, where this process sees them. */
  readonly turns: ((trajectoryId: string) => unknown) | undefined;
  /** Told of the rollout before its agent starts. */
  readonly onRegistered: (registered: Registered) => void;
  /** Calls back with signals to pass on; returns how to stop that. */
  readonly onSignal: (pass: (signal: NodeJS.Signals) => void) => () => void;
  /** A line for people. */
  readonly tell: (line: string) => void;
}

const graceMs = 5_000;

/** The exit code: the agent's; 1 where that is 0 and the report or the reward was lost. Throws GatewayRefusal when it cannot register. */
export async function runRollout(options: ExecOptions, context: ExecContext): Promise<number> {
  const { gateway, tell } = context;
  const registered = await gateway.register(options.request);
  context.onRegistered(registered);
  const exit = await runAgent(registered, options, context);
  if (exit.startError !== undefined) {
    tell(
      `${exit.startError.message}; nothing is reported, the rollout ${registered.id} is still open`,
    );
    return exit.code;
  }
  const conclusion = await conclude({ registered, exit }, options, context);
  const isReported = await report(registered, conclusion, context);
  return exit.code === 0 && !(isReported && conclusion.outcome === "finished") ? 1 : exit.code;
}

async function runAgent(
  { id, job_arn: jobArn, prompt, env }: Registered,
  { command, reward, timeoutMs }: ExecOptions,
  { environment, apiKey, output, onSignal }: ExecContext,
): Promise<AgentExit> {
  const added = agentVariables({ id, jobArn, prompt, variables: env, apiKey });
  const agent = new AgentProcess({
    command,
    environment: { ...environment, ...added },
    ...(reward?.kind === "stdout" ? { output } : {}),
    timeoutMs,
    graceMs,
  });
  const forget = onSignal((signal) => agent.kill(signal));
  try {
    return await agent.exited;
  } finally {
    forget();
  }
}

interface Run {
  readonly registered: Registered;
  readonly exit: AgentExit;
}

async function conclude(
  { registered, exit }: Run,
  { reward: source, onFailure, timeoutMs }: ExecOptions,
  { environment, gateway, turns }: ExecContext,
): Promise<Conclusion> {
  const failure = failureOfExit(exit, timeoutMs);
  if (failure !== undefined) return concludeFailure(failure, onFailure);
  const detail = "the agent exited with 0";
  if (source === undefined) return concludeSuccess(detail, undefined);
  const trajectory = async (): Promise<object> => ({
    id: registered.id,
    job_arn: registered.job_arn,
    prompt: registered.prompt,
    instance: registered.instance,
    rollout: await gateway.view(registered),
    turns: turns?.(registered.id) ?? null,
  });
  try {
    const stated = await readReward(source, { exit, trajectory, environment, timeoutMs });
    return concludeSuccess(detail, stated);
  } catch (thrown) {
    if (thrown instanceof GatewayRefusal) throw thrown;
    const { message } = toGatewayError(thrown);
    return concludeFailure(
      { outcome: "invalid_answer", detail: `${detail}, but ${clause(message)}` },
      onFailure,
    );
  }
}

async function report(
  registered: Registered,
  { detail, outcome, report: what }: Conclusion,
  { gateway, tell }: ExecContext,
): Promise<boolean> {
  const failed = outcome === "finished" ? "" : " (--on-failure)";
  const said = `rollout ${registered.id}: ${detail}; ${describeReport(what)}${failed}`;
  if (what === undefined) {
    tell(said);
    return true;
  }
  try {
    const isDelivered = await gateway.complete(registered, what);
    tell(isDelivered ? said : `${said}; the gateway has it and is still delivering it`);
    const { warnings } = await gateway.view(registered);
    for (const warning of Array.isArray(warnings) ? warnings : [])
      tell(`warning: ${String(warning)}`);
    return true;
  } catch (thrown) {
    if (!(thrown instanceof GatewayRefusal)) throw thrown;
    tell(`rollout ${registered.id}: ${detail}; IT COULD NOT BE REPORTED: ${thrown.message}`);
    return false;
  }
}
