/** An agent that is a program, started once per rollout: the request on its standard input, its reward on the last JSON line of its output. */
import { toGatewayError } from "../errors.ts";
import {
  type Conclusion,
  clause,
  concludeFailure,
  concludeSuccess,
  failureOfExit,
  type OnFailure,
} from "../exec/agent-conclusion.ts";
import { type AgentExit, AgentProcess } from "../exec/agent-process.ts";
import { agentVariables } from "../exec/agent-variables.ts";
import { type RewardSource, readReward } from "../exec/reward-source.ts";
import type { TrajectoryRecorder } from "../exec/trajectory-recorder.ts";
import {
  type AgentKey,
  type RolloutJob,
  type RunAgent,
  withTurnpikeFields,
} from "./rollout-job.ts";

export interface CommandAgentSettings {
  readonly command: readonly string[];
  /** For `sh -c`; `null`: the reward is in the agent's own output. */
  readonly rewardCommand: string | null;
  readonly apiKey: AgentKey;
  readonly onFailure: OnFailure;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where the turns are, for a reward command. */
  readonly recorder: TrajectoryRecorder | undefined;
  /** The rollout as GET /rollouts/{id} shows it. */
  readonly view: (job: RolloutJob) => object | undefined;
}

const graceMs = 5_000;

export function createCommandAgent(settings: CommandAgentSettings): RunAgent {
  return async (job) => {
    const { recorder } = settings;
    const { id } = job.registered;
    recorder?.start(id);
    try {
      return await runCommand(job, settings);
    } finally {
      recorder?.take(id);
    }
  };
}

async function runCommand(job: RolloutJob, settings: CommandAgentSettings): Promise<Conclusion> {
  const startedAt = performance.now();
  const timeoutMs = Math.max(1, Math.ceil(job.timeLeftMs));
  const { id, job_arn: jobArn, prompt, env } = job.registered;
  const variables = agentVariables({ id, jobArn, prompt, variables: env, apiKey: settings.apiKey });
  const environment = { ...settings.environment, ...variables };
  const agent = new AgentProcess({
    command: settings.command,
    environment,
    input: `${withTurnpikeFields(job, settings.apiKey)}\n`,
    output: "keep",
    timeoutMs,
    graceMs,
  });
  const onInterrupt = (): void => agent.end();
  job.interrupt.addEventListener("abort", onInterrupt, { once: true });
  const exit = await agent.exited;
  job.interrupt.removeEventListener("abort", onInterrupt);
  const failure = failureOfExit(exit, timeoutMs);
  if (failure !== undefined) {
    return concludeFailure(
      job.interrupt.aborted
        ? { outcome: "interrupted", detail: "turnpike was shut down before the agent had ended" }
        : failure,
      settings.onFailure,
    );
  }
  const timeLeftMs = Math.max(1_000, timeoutMs - (performance.now() - startedAt));
  return await concludeReward({ ...job, timeLeftMs }, { exit, environment }, settings);
}

interface Ended {
  readonly exit: AgentExit;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

async function concludeReward(
  job: RolloutJob,
  { exit, environment }: Ended,
  { rewardCommand, recorder, view, onFailure }: CommandAgentSettings,
): Promise<Conclusion> {
  const source: RewardSource =
    rewardCommand === null ? { kind: "stdout" } : { kind: "command", command: rewardCommand };
  const { id, job_arn, prompt, instance } = job.registered;
  const trajectory = (): Promise<object> =>
    Promise.resolve({
      id,
      job_arn,
      prompt,
      instance,
      rollout: view(job) ?? null,
      turns: recorder?.take(id) ?? null,
    });
  const detail = "the agent exited with 0";
  try {
    const timeoutMs = job.timeLeftMs;
    const stated = await readReward(source, { exit, trajectory, environment, timeoutMs });
    return concludeSuccess(detail, stated);
  } catch (thrown) {
    const { message } = toGatewayError(thrown);
    const failure = {
      outcome: "invalid_answer",
      detail: `${detail}, but ${clause(message)}`,
    } as const;
    return concludeFailure(failure, onFailure);
  }
}
