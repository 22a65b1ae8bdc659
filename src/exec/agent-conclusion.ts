/** How an agent's end becomes a completion and a reward, the same for `exec` and the ingress. */

import type { RewardFields } from "../rollouts/reward.ts";
import type { AgentOutcome } from "../rollouts/rollout-notes.ts";
import type { AgentExit } from "./agent-process.ts";
import type { StatedReward } from "./reward-text.ts";

/** What a crash, a timeout or an unreadable reward reports. */
export type OnFailure = "ready" | "failed" | "leave";

export interface Report {
  readonly status: "ready" | "failed";
  /** Absent: no reward is sent. */
  readonly reward?: RewardFields;
}

export interface Conclusion {
  readonly outcome: AgentOutcome;
  /** What happened, in a sentence without its full stop. */
  readonly detail: string;
  /** `undefined`: nothing is reported, the trainer's own timeout decides. */
  readonly report: Report | undefined;
}

export function concludeSuccess(detail: string, stated: StatedReward | undefined): Conclusion {
  if (stated === undefined) return { outcome: "finished", detail, report: { status: "ready" } };
  const { reward, status } = stated;
  const hasReward = reward.reward !== undefined || reward.rewards !== undefined;
  return { outcome: "finished", detail, report: { status, ...(hasReward ? { reward } : {}) } };
}

export interface Failure {
  readonly outcome: Exclude<AgentOutcome, "finished">;
  readonly detail: string;
}

/** `ready` comes with 0.0: one failed rollout can fail the whole job (service.md, "What hurts", 2). */
export function concludeFailure(failure: Failure, onFailure: OnFailure): Conclusion {
  if (onFailure === "leave") return { ...failure, report: undefined };
  if (onFailure === "failed") return { ...failure, report: { status: "failed" } };
  return { ...failure, report: { status: "ready", reward: { reward: 0 } } };
}

/** `undefined` for an agent that ended with 0. */
export function failureOfExit(exit: AgentExit, timeoutMs: number | undefined): Failure | undefined {
  if (exit.timedOut) {
    const after = timeoutMs === undefined ? "" : ` after ${timeoutMs / 1000} s`;
    return { outcome: "timed_out", detail: `the agent was ended at its deadline${after}` };
  }
  const { startError, signal, code } = exit;
  if (startError !== undefined) {
    return { outcome: "crashed", detail: `the agent cannot be started: ${startError.message}` };
  }
  if (signal !== null) return { outcome: "crashed", detail: `the agent was ended by ${signal}` };
  if (code !== 0) return { outcome: "crashed", detail: `the agent exited with ${code}` };
  return undefined;
}

/** An error's message as the rest of a sentence. */
export function clause(message: string): string {
  return message.replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase()).replace(/\.$/, "");
}

/** For people. */
export function describeReport(report: Report | undefined): string {
  if (report === undefined) return "nothing is reported";
  const { status, reward } = report;
  const number = reward?.rewards ?? reward?.reward;
  return number === undefined
    ? `reported ${status}, without a reward`
    : `reported ${status} with reward ${JSON.stringify(number)}`;
}
