/**
 * Completions and rewards, straight through to the service, and into the ledger once it has acknowledged them.
 * Nothing is kept for later here: what the service refuses is the caller's to know.
 */
import type { Logger } from "pino";
import { GatewayError, toGatewayError } from "../errors.ts";
import { isAlreadyMovedOn } from "../job-runtime/errors.ts";
import type { LifecycleClient, LifecycleResult, RolloutStatus } from "../job-runtime/lifecycle.ts";
import type { LifecycleOperation, Metrics } from "../telemetry/metrics.ts";
import { clientToken } from "./client-token.ts";
import type { Ledger, RolloutKey } from "./ledger.ts";
import { restated } from "./restated.ts";
import type { DeliveryOutcome, Rollout } from "./rollout.ts";

export interface LifecycleParts {
  readonly client: LifecycleClient;
  readonly ledger: Ledger;
  readonly metrics: Pick<Metrics, "lifecycleCalled">;
  readonly log: Pick<Logger, "info" | "warn">;
}

/** What the service acknowledged. */
export interface Delivered {
  readonly rollout: Rollout;
  readonly outcome: DeliveryOutcome;
  /** The service's; absent when it gave none. */
  readonly requestId: string | undefined;
  /** What the caller should know although it went well. */
  readonly warnings: readonly string[];
}

interface LoggedWarnings extends RolloutKey {
  readonly warnings: readonly string[];
}

interface LifecycleCall {
  readonly operation: LifecycleOperation;
  readonly key: RolloutKey;
  readonly send: () => Promise<LifecycleResult>;
  /** Whether this refusal means that the service has it already. */
  readonly isDone: (error: GatewayError) => boolean;
}

interface Answer {
  readonly outcome: DeliveryOutcome;
  readonly requestId: string | undefined;
  readonly warnings: readonly string[];
}

export class RolloutLifecycle {
  readonly #parts: LifecycleParts;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
  }

  /**
   * Seals the rollout. Throws `rollout_conflict` when it was completed with the other status before, and
   * whatever the service refuses with; a trajectory that has already moved on counts as completed.
   */
  async completeRollout(key: RolloutKey, status: RolloutStatus): Promise<Delivered> {
    const { client, ledger } = this.#parts;
    const known = ledger.get(key);
    refuseOtherStatus(known, status);
    const token = clientToken("CompleteRollout", key, status);
    const answer = await this.#call({
      operation: "complete_rollout",
      key,
      send: () => client.completeRollout({ ...key, status, clientToken: token }),
      isDone: (error) => isAlreadyMovedOn(error) || isGone(error, ledger.get(key)),
    });
    const { outcome, requestId } = answer;
    const rollout = ledger.markCompleted(key, { status, outcome, requestId });
    const warnings = rollout.warnings();
    this.#logWarnings({ ...key, warnings });
    return { rollout, outcome, requestId, warnings: [...warnings, ...answer.warnings] };
  }

  /**
   * Sends the numbers as they are (reward.ts shapes them). Throws `rollout_conflict` when other rewards were
   * acknowledged before, and whatever the service refuses with.
   */
  async updateReward(key: RolloutKey, rewards: readonly number[]): Promise<Delivered> {
    const { client, ledger } = this.#parts;
    refuseOtherRewards(ledger.get(key), rewards);
    const token = clientToken("UpdateReward", key, rewards);
    const answer = await this.#call({
      operation: "update_reward",
      key,
      send: () => client.updateReward({ ...key, rewards, clientToken: token }),
      // Before its completion the same words may mean that the trajectory is not there yet: taking them for
      // done would lose the reward.
      isDone: (error) =>
        ledger.get(key)?.completion !== undefined &&
        (isAlreadyMovedOn(error) || isGone(error, ledger.get(key))),
    });
    const { outcome, requestId } = answer;
    const rollout = ledger.markRewarded(key, { rewards, outcome, requestId });
    return { rollout, outcome, requestId, warnings: [...rollout.warnings(), ...answer.warnings] };
  }

  async #call({ operation, key, send, isDone }: LifecycleCall): Promise<Answer> {
    const { metrics, log } = this.#parts;
    const fields = { operation, job_arn: key.jobArn, trajectory_id: key.trajectoryId };
    try {
      const { requestId } = await send();
      metrics.lifecycleCalled(operation, "delivered");
      log.info({ ...fields, request_id: requestId }, "lifecycle-delivered");
      return { outcome: "delivered", requestId, warnings: [] };
    } catch (thrown) {
      const error = toGatewayError(thrown);
      if (!isDone(error)) {
        metrics.lifecycleCalled(operation, "failed");
        log.warn({ ...fields, err: error }, "lifecycle-failed");
        throw operation === "update_reward" ? withNextStep(error) : error;
      }
      metrics.lifecycleCalled(operation, "already_done");
      log.info({ ...fields, said: error.message }, "lifecycle-already-done");
      const warning = `Counted as done: the service says that the trajectory has moved on already (${error.message}).`;
      return { outcome: "already_done", requestId: error.requestId, warnings: [warning] };
    }
  }

  /** In the log as well as in the answer: the one who reads the answer is seldom the one who watches the job. */
  #logWarnings({ jobArn, trajectoryId, warnings }: LoggedWarnings): void {
    for (const warning of warnings) {
      this.#parts.log.warn(
        { job_arn: jobArn, trajectory_id: trajectoryId, warning },
        "rollout-warning",
      );
    }
  }
}

/** [sdk] 404 after an acknowledged completion: the service has put the trajectory away. */
function isGone(error: GatewayError, rollout: Rollout | undefined): boolean {
  return error.code === "service_not_found" && rollout?.completion !== undefined;
}

/** The service keeps the first; asking it again would look like success. */
function refuseOtherStatus(rollout: Rollout | undefined, status: RolloutStatus): void {
  const sent = rollout?.completion;
  if (sent === undefined || sent.status === status) return;
  throw new GatewayError(
    "rollout_conflict",
    `This rollout was completed as ${sent.status} at ${isoTime(sent.at)}; it cannot become ${status}.`,
    { param: "status" },
  );
}

function refuseOtherRewards(rollout: Rollout | undefined, rewards: readonly number[]): void {
  const sent = rollout?.reward;
  if (sent === undefined || isSame(sent.rewards, rewards)) return;
  throw new GatewayError(
    "rollout_conflict",
    `This rollout was rewarded with ${JSON.stringify(sent.rewards)} at ${isoTime(sent.at)}; it cannot be rewarded with ${JSON.stringify(rewards)}.`,
    { param: "reward" },
  );
}

function isSame(some: readonly number[], others: readonly number[]): boolean {
  return some.length === others.length && some.every((value, at) => value === others[at]);
}

function isoTime(at: number): string {
  return new Date(at).toISOString();
}

function withNextStep(error: GatewayError): GatewayError {
  if (!isAlreadyMovedOn(error)) return error;
  const step =
    "turnpike has not seen this rollout completed, so this may mean that it still has to be: POST /rollouts/{id}/complete first, with the reward";
  return restated(error, `${error.message} (${step})`);
}
