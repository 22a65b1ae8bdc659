/**
 * The trainer's rollout requests: register → wait for a slot → run the agent → conclude → report.
 * The same request again joins the first: a forwarder that lost its patience must not start a second agent.
 */
import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import { GatewayError, toGatewayError } from "../errors.ts";
import {
  type Conclusion,
  clause,
  concludeFailure,
  type OnFailure,
  type Report,
} from "../exec/agent-conclusion.ts";
import type { RegisteredRollout } from "../http/register-rollout.ts";
import type { Ledger } from "../rollouts/ledger.ts";
import type { RolloutLifecycle } from "../rollouts/lifecycle.ts";
import { parseReward, shapeRewards } from "../rollouts/reward.ts";
import type { RolloutKey } from "../rollouts/rollout-key.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { RunAgent } from "./rollout-job.ts";
import { Slots } from "./slots.ts";

export interface IngressParts {
  readonly ledger: Ledger;
  readonly lifecycle: Pick<RolloutLifecycle, "submit" | "outcome">;
  readonly metrics: Pick<Metrics, "ingressEnded" | "ingressGauges">;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  readonly runAgent: RunAgent;
  readonly onFailure: OnFailure;
  readonly maxConcurrent: number;
  readonly maxQueued: number;
  /** From a request's arrival to its agent's end. */
  readonly deadlineMs: number;
}

/** What became of a rollout request. */
export interface RolloutResult {
  readonly conclusion: Conclusion;
  /** Why completion or reward did not reach the service. */
  readonly unreported: GatewayError | undefined;
}

export interface RolloutTask {
  readonly key: RolloutKey;
  readonly state: "queued" | "running" | "ended";
  /** Never rejects. */
  readonly result: Promise<RolloutResult>;
}

interface OpenTask {
  readonly key: RolloutKey;
  state: RolloutTask["state"];
  result: Promise<RolloutResult>;
}

export interface ArrivedRollout {
  readonly registered: RegisteredRollout;
  readonly body: Buffer;
}

/** Ended ones that a repeated request still finds; older ones are known to the ledger. */
const maxEnded = 10_000;

export class Ingress {
  readonly #parts: IngressParts;
  readonly #slots: Slots;
  readonly #open = new Map<string, OpenTask>();
  readonly #ended = new LRUCache<string, OpenTask>({ max: maxEnded });
  readonly #interrupt = new AbortController();
  #isClosed = false;

  constructor(parts: IngressParts) {
    this.#parts = parts;
    this.#slots = new Slots(parts.maxConcurrent, parts.maxQueued);
    parts.metrics.ingressGauges(() => ({ running: this.running, queued: this.queued }));
  }

  get running(): number {
    return this.#slots.running;
  }

  get queued(): number {
    return this.#slots.queued;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Throws `shutting_down` and `too_many_rollouts` for a rollout that is not known yet. Before it is registered. */
  checkRoom(key: RolloutKey): void {
    if (this.#find(key) !== undefined || this.#reported(key) !== undefined) return;
    if (this.#isClosed) {
      throw new GatewayError("shutting_down", "turnpike is shutting down and starts no rollouts.", {
        retryAfterMs: 1_000,
      });
    }
    if (!this.#slots.isFull) return;
    const { maxConcurrent, maxQueued } = this.#parts;
    this.#parts.metrics.ingressEnded("refused");
    throw new GatewayError(
      "too_many_rollouts",
      `${maxConcurrent} rollouts are running and ${maxQueued} are waiting, as many as this turnpike takes (ingress.max_concurrent, ingress.max_queued). This one was not started.`,
      { retryAfterMs: 5_000 },
    );
  }

  /** Starts the rollout, or joins it where it is known. */
  accept(arrived: ArrivedRollout): RolloutTask {
    const { id: trajectoryId, job_arn: jobArn } = arrived.registered;
    const key = { trajectoryId, jobArn };
    const known = this.#find(key) ?? this.#reported(key);
    if (known !== undefined) return known;
    const task: OpenTask = {
      key,
      state: "queued",
      result: Promise.reject(new Error("not started")),
    };
    task.result.catch(() => undefined);
    this.#open.set(nameOf(key), task);
    task.result = this.#run(task, arrived).finally(() => {
      task.state = "ended";
      this.#open.delete(nameOf(key));
      this.#ended.set(nameOf(key), task);
    });
    return task;
  }

  /** No new rollouts, none of the queue; those that run may end within `drainMs`, then their agents are ended. */
  async close(drainMs: number): Promise<void> {
    this.#isClosed = true;
    this.#slots.drop();
    if (this.#open.size === 0) return;
    const { log } = this.#parts;
    log.info({ rollouts_running: this.running, drain_ms: drainMs }, "draining");
    const timer = setTimeout(() => this.#interrupt.abort(), drainMs);
    await Promise.all([...this.#open.values()].map(({ result }) => result));
    clearTimeout(timer);
  }

  #find(key: RolloutKey): OpenTask | undefined {
    return this.#open.get(nameOf(key)) ?? this.#ended.get(nameOf(key));
  }

  /** Completed before this process began, or by its agent itself: another run could add nothing to it. */
  #reported(key: RolloutKey): OpenTask | undefined {
    const rollout = this.#parts.ledger.get(key);
    if (rollout?.completion === undefined || !rollout.isSealed) return undefined;
    const { completion, reward, notes } = rollout;
    const rewards = reward === undefined ? {} : { reward: { rewards: reward.said.rewards } };
    const conclusion: Conclusion = {
      outcome: notes.agent?.outcome ?? "finished",
      detail: notes.agent?.detail ?? "it was completed already",
      report: { status: completion.said.status, ...rewards },
    };
    const result = Promise.resolve({ conclusion, unreported: undefined });
    return { key, state: "ended", result };
  }

  async #run(task: OpenTask, arrived: ArrivedRollout): Promise<RolloutResult> {
    const startedAt = performance.now();
    const conclusion = await this.#conclude(task, arrived);
    return await this.#report(task.key, conclusion, performance.now() - startedAt);
  }

  async #conclude(task: OpenTask, { registered, body }: ArrivedRollout): Promise<Conclusion> {
    const { deadlineMs, runAgent, onFailure, log } = this.#parts;
    const deadline = performance.now() + deadlineMs;
    const isGranted = await this.#slots.enter(AbortSignal.timeout(deadlineMs));
    const timeLeftMs = deadline - performance.now();
    const isTooLate = isGranted && timeLeftMs < Math.min(1_000, deadlineMs / 10);
    if (isTooLate) this.#slots.leave();
    if (!isGranted || isTooLate) {
      // Nobody heard the model in it: sealed, it would be a rollout without a turn.
      return this.#isClosed
        ? leave("interrupted", "turnpike was shut down before an agent was free for it")
        : leave("timed_out", "no agent was free for it by its deadline (ingress.max_concurrent)");
    }
    task.state = "running";
    log.info(fieldsOf(task.key), "rollout-started");
    try {
      return await runAgent({ registered, body, timeLeftMs, interrupt: this.#interrupt.signal });
    } catch (thrown) {
      log.error({ ...fieldsOf(task.key), err: thrown }, "internal error");
      const detail = "turnpike failed to run the agent; its log says why";
      return concludeFailure({ outcome: "crashed", detail }, onFailure);
    } finally {
      this.#slots.leave();
    }
  }

  async #report(
    key: RolloutKey,
    concluded: Conclusion,
    durationMs: number,
  ): Promise<RolloutResult> {
    const { ledger, metrics, log, onFailure } = this.#parts;
    let conclusion = concluded;
    let rewards: readonly number[] | undefined;
    try {
      rewards = this.#rewardsOf(key, concluded.report);
    } catch (thrown) {
      const detail = `${concluded.detail}, but ${clause(toGatewayError(thrown).message)}`;
      conclusion = concludeFailure({ outcome: "invalid_answer", detail }, onFailure);
      rewards = this.#rewardsOf(key, conclusion.report);
    }
    const { outcome, detail, report } = conclusion;
    ledger.noteAgent(key, { outcome, detail, durationMs });
    metrics.ingressEnded(outcome);
    const fields = { ...fieldsOf(key), outcome, detail, duration_ms: Math.round(durationMs) };
    if (outcome === "finished") log.info(fields, "agent-ended");
    else log.warn(fields, "agent-ended");
    const unreported = report && (await this.#deliver(key, report, rewards));
    return { conclusion, unreported };
  }

  /** Throws where the numbers do not fit the turns. */
  #rewardsOf(key: RolloutKey, report: Report | undefined): readonly number[] | undefined {
    if (report?.reward === undefined) return undefined;
    const turns = this.#parts.ledger.get(key)?.capturedTurns();
    return shapeRewards(parseReward(report.reward), turns);
  }

  /** Once accepted it is stored, and delivered by whoever finds it there; the failure is the caller's to know. */
  async #deliver(
    key: RolloutKey,
    { status, reward }: Report,
    rewards: readonly number[] | undefined,
  ): Promise<GatewayError | undefined> {
    const { lifecycle, log } = this.#parts;
    try {
      const said = rewards && { rewards, asked: JSON.stringify(parseReward(reward ?? {})) };
      await lifecycle.outcome(await lifecycle.submit(key, { status, reward: said }));
      return undefined;
    } catch (thrown) {
      const error = toGatewayError(thrown);
      log.error({ ...fieldsOf(key), err: error }, "rollout-not-reported");
      return error;
    }
  }
}

function leave(outcome: "interrupted" | "timed_out", detail: string): Conclusion {
  return concludeFailure({ outcome, detail }, "leave");
}

function nameOf({ jobArn, trajectoryId }: RolloutKey): string {
  return `${jobArn} ${trajectoryId}`;
}

function fieldsOf({ jobArn, trajectoryId }: RolloutKey): object {
  return { job_arn: jobArn, trajectory_id: trajectoryId };
}
