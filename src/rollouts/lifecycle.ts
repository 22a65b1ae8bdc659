/**
 * What may be said of a rollout: accepted, stored, then delivered. The same said again is the same operation and
 * gets the same answer; something else than what was said is a conflict. delivery.ts gets it to the service.
 */
import type { Logger } from "pino";
import { GatewayError } from "../errors.ts";
import { isAlreadyMovedOn } from "../job-runtime/errors.ts";
import type { RolloutStatus } from "../job-runtime/lifecycle.ts";
import { clientToken } from "./client-token.ts";
import type { Delivery } from "./delivery.ts";
import type { Ledger } from "./ledger.ts";
import {
  type Completing,
  isBinding,
  isDone,
  type Operation,
  type OperationOrigin,
  type OperationState,
  type Rewarding,
  type Statement,
} from "./operation.ts";
import { restated } from "./restated.ts";
import type { Rollout } from "./rollout.ts";
import type { RolloutKey } from "./rollout-key.ts";

export interface LifecycleParts {
  readonly ledger: Ledger;
  readonly delivery: Delivery;
  readonly log: Pick<Logger, "warn">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** delivery.deadline_s, in milliseconds. */
  readonly deadlineMs: number;
  /** rollouts.refuse_empty */
  readonly refuseEmpty: boolean;
}

/** What a caller says, in one request. At least one of the two. */
export interface Submission {
  readonly status?: RolloutStatus | undefined;
  readonly reward?: Omit<Rewarding, "operation"> | undefined;
  /** Default: a caller. */
  readonly origin?: OperationOrigin;
}

/** What was accepted: on the disk, on its way. */
export interface Accepted {
  readonly rollout: Rollout;
  readonly operations: readonly Operation[];
}

/** What the service has acknowledged. */
export interface Delivered {
  readonly rollout: Rollout;
  /** The service's, of the last operation; absent when it gave none. */
  readonly requestId: string | undefined;
  /** What the caller should know although it went well. */
  readonly warnings: readonly string[];
}

export class RolloutLifecycle {
  readonly #parts: LifecycleParts;
  readonly #storing = new Map<Operation, Promise<void>>();
  /** What was settled, and is to be tried again once that is stored. */
  readonly #reopened = new Map<Operation, OperationState>();
  #lastId: number;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
    this.#lastId = parts.ledger.store.lastOperationId;
  }

  /** Seals the rollout and waits for the service. Throws what `submit` and `outcome` throw. */
  async completeRollout(key: RolloutKey, status: RolloutStatus): Promise<Delivered> {
    return await this.outcome(await this.submit(key, { status }));
  }

  /** Sends the numbers as they are (reward.ts shapes them), and waits. Throws what `submit` and `outcome` throw. */
  async updateReward(key: RolloutKey, rewards: readonly number[]): Promise<Delivered> {
    const reward = { rewards, asked: JSON.stringify({ rewards }) };
    return await this.outcome(await this.submit(key, { reward }));
  }

  /**
   * Accepts it, all or nothing: when this resolves it is stored and will be delivered, whoever goes away. Throws
   * `rollout_conflict` for something else than what was said before, `rollout_empty`, and `state_unavailable`.
   */
  async submit(key: RolloutKey, submission: Submission): Promise<Accepted> {
    const { ledger, delivery } = this.#parts;
    const rollout = ledger.open(key);
    const statements = statementsOf(submission);
    // All of them before any is taken: a completion cannot be taken back when its reward is a conflict.
    for (const said of statements) this.#check(rollout, said);
    const operations = statements.map((said) => this.#take(rollout, said, submission.origin));
    await this.#store(rollout, operations);
    delivery.enqueue(rollout);
    return { rollout, operations };
  }

  /** Waits until the service has all of it. Throws what it refused with, or `delivery_expired`. */
  async outcome({ rollout, operations }: Accepted): Promise<Delivered> {
    for (const operation of operations) {
      await this.#parts.delivery.settled(operation);
      if (!isDone(operation)) throw failureOf(operation, operations[0] !== operation);
    }
    const requestId = operations.at(-1)?.requestId;
    return { rollout, requestId, warnings: rollout.warnings() };
  }

  #check(rollout: Rollout, said: Statement): void {
    const before = operationLike(rollout, said);
    if (before !== undefined && isBinding(before)) {
      if (!isSame(before.said, said)) throw conflict(before, said);
      return;
    }
    if (said.operation === "update_reward" || rollout.finished > 0) return;
    // Where counts may be short, nobody can say that it is empty.
    if (this.#parts.refuseEmpty && !rollout.countsMayBeShort) throw empty(rollout);
    this.#warnOfEmpty(rollout);
  }

  /** The operation that says it already, else a new one. */
  #take(rollout: Rollout, said: Statement, origin: OperationOrigin = "caller"): Operation {
    const { now, deadlineMs } = this.#parts;
    const before = operationLike(rollout, said);
    if (before !== undefined && isSame(before.said, said)) {
      if (before.state === "refused" || before.state === "expired") {
        this.#reopened.set(before, before.state);
        before.state = "pending";
        before.deadlineAt = now() + deadlineMs;
        before.isStored = false;
      }
      return before;
    }
    this.#lastId += 1;
    const { jobArn, trajectoryId } = rollout;
    const acceptedAt = now();
    const operation: Operation = {
      id: this.#lastId,
      jobArn,
      trajectoryId,
      said,
      clientToken: tokenOf(rollout, said),
      origin,
      acceptedAt,
      deadlineAt: acceptedAt + deadlineMs,
      isStored: false,
      state: "pending",
      attempts: 0,
      mayHaveArrived: false,
      settledAt: undefined,
      requestId: undefined,
      fault: undefined,
      failure: undefined,
    };
    rollout.accept(operation);
    return operation;
  }

  /** What is being stored for another request is waited for: its acceptance is this one's. */
  async #store(rollout: Rollout, operations: readonly Operation[]): Promise<void> {
    const fresh = operations.filter(
      (operation) => !(operation.isStored || this.#storing.has(operation)),
    );
    const others = operations.flatMap((operation) => this.#storing.get(operation) ?? []);
    if (fresh.length > 0) {
      const stored = this.#commit(rollout, fresh);
      for (const operation of fresh) this.#storing.set(operation, stored);
      others.push(stored);
    }
    await Promise.all(others);
  }

  async #commit(rollout: Rollout, fresh: readonly Operation[]): Promise<void> {
    try {
      await this.#parts.ledger.accept(rollout, fresh);
      for (const operation of fresh) operation.isStored = true;
    } catch (error) {
      for (const operation of fresh) this.#withdraw(rollout, operation);
      throw error;
    } finally {
      for (const operation of fresh) {
        this.#storing.delete(operation);
        this.#reopened.delete(operation);
      }
    }
  }

  /** It was not accepted: a new one never was, and one that was tried before is where it was. */
  #withdraw(rollout: Rollout, operation: Operation): void {
    const before = this.#reopened.get(operation);
    if (before === undefined) {
      rollout.withdraw(operation);
      return;
    }
    operation.state = before;
    operation.isStored = true;
  }

  /** In the log as well as in the answer: the one who reads the answer is seldom the one who watches the job. */
  #warnOfEmpty({ jobArn, trajectoryId, started }: Rollout): void {
    this.#parts.log.warn(
      { job_arn: jobArn, trajectory_id: trajectoryId, turns_started: started },
      "rollout-completed-empty: not one turn of it was finished; the model was never heard, and a job can fail over that",
    );
  }
}

function statementsOf({ status, reward }: Submission): Statement[] {
  const statements: Statement[] = [];
  if (status !== undefined) statements.push({ operation: "complete_rollout", status });
  if (reward !== undefined) statements.push({ operation: "update_reward", ...reward });
  return statements;
}

function operationLike(rollout: Rollout, said: Statement): Operation | undefined {
  return said.operation === "complete_rollout" ? rollout.completion : rollout.reward;
}

function tokenOf(key: RolloutKey, said: Statement): string {
  return said.operation === "complete_rollout"
    ? clientToken("CompleteRollout", key, said.status)
    : clientToken("UpdateReward", key, said.rewards);
}

/** The same numbers, or the same words for them. */
function isSame(one: Statement, other: Statement): boolean {
  if (one.operation === "complete_rollout") return one.status === (other as Completing).status;
  const { rewards, asked } = other as Rewarding;
  return one.asked === asked || JSON.stringify(one.rewards) === JSON.stringify(rewards);
}

function conflict(before: Operation, said: Statement): GatewayError {
  const at = new Date(before.acceptedAt).toISOString();
  const fate = fateOf(before);
  if (said.operation === "complete_rollout") {
    return new GatewayError(
      "rollout_conflict",
      `This rollout was completed as ${(before.said as Completing).status} at ${at}${fate}; it cannot become ${said.status}.`,
      { param: "status" },
    );
  }
  return new GatewayError(
    "rollout_conflict",
    `This rollout was rewarded with ${JSON.stringify((before.said as Rewarding).rewards)} at ${at}${fate}; it cannot be rewarded with ${JSON.stringify(said.rewards)}.`,
    { param: "reward" },
  );
}

function fateOf({ state, origin }: Operation): string {
  const by = origin === "caller" ? "" : ` by turnpike itself (${origin})`;
  if (state === "pending") return `${by} and that is still to be delivered`;
  return state === "expired" || state === "refused" ? `${by}, which may have arrived` : by;
}

function empty({ trajectoryId, started }: Rollout): GatewayError {
  return new GatewayError(
    "rollout_empty",
    `The rollout ${JSON.stringify(trajectoryId)} has no finished turn (${started} begun), and rollouts.refuse_empty is set: the completion was not sent. Check that the agent's calls go through this turnpike and name this trajectory.`,
  );
}

function failureOf(operation: Operation, isSecond: boolean): GatewayError {
  const error = ownFailure(operation);
  if (!isSecond) return error;
  return restated(
    error,
    `The rollout was completed, but its reward was not delivered; send it by POST /rollouts/{id}/reward. ${error.message}`,
  );
}

function ownFailure(operation: Operation): GatewayError {
  const { state, failure, fault, attempts, said } = operation;
  const what = said.operation === "complete_rollout" ? "completion" : "reward";
  if (state === "pending") {
    return new GatewayError(
      "shutting_down",
      `turnpike is shutting down before the service has the ${what}. GET /rollouts/{id} says what became of it once turnpike runs again with the same state.dir.`,
      { retryAfterMs: 1_000 },
    );
  }
  if (state === "expired") {
    return new GatewayError(
      "delivery_expired",
      `The ${what} was not acknowledged within delivery.deadline_s, in ${attempts} attempts; the last one: ${fault?.message ?? "none"} Send the same again to have it tried further.`,
      failure === undefined ? {} : { cause: failure },
    );
  }
  if (failure === undefined) {
    return new GatewayError(
      fault?.code ?? "internal",
      fault?.message ?? `The ${what} was refused.`,
    );
  }
  return said.operation === "update_reward" ? withNextStep(failure) : failure;
}

function withNextStep(error: GatewayError): GatewayError {
  if (!isAlreadyMovedOn(error)) return error;
  const step =
    "turnpike has not seen this rollout completed, so this may mean that it still has to be: POST /rollouts/{id}/complete first, with the reward";
  return restated(error, `${error.message} (${step})`);
}
