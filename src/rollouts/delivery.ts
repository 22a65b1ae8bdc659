/**
 * Gets what is stored to the service: per rollout in order, the completion before the reward; across rollouts in
 * parallel, up to a bound; again and again until the service has it, refuses it, or the deadline has passed.
 */
import type { Logger } from "pino";
import { type GatewayError, toGatewayError } from "../errors.ts";
import type { LifecycleClient, LifecycleResult } from "../job-runtime/lifecycle.ts";
import type { LifecycleOutcome, Metrics } from "../telemetry/metrics.ts";
import type { Ledger } from "./ledger.ts";
import type { Operation, OperationState } from "./operation.ts";
import type { Rollout } from "./rollout.ts";
import type { Schedule } from "./schedule.ts";
import { backoffMs, mayHaveArrived, verdictOn } from "./verdict.ts";

export interface DeliveryParts {
  readonly client: LifecycleClient;
  readonly ledger: Ledger;
  readonly metrics: Pick<Metrics, "lifecycleCalled">;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly schedule: Schedule;
  /** In [0, 1). */
  readonly random: () => number;
  /** delivery.max_concurrent */
  readonly maxConcurrent: number;
}

/** One rollout's deliveries, one after another. */
interface Lane {
  readonly rollout: Rollout;
  /** Waiting for its turn, under way, or waiting to try again. */
  state: "ready" | "sending" | "resting";
  cancelRest: (() => void) | undefined;
}

/** A restart tries what is overdue for this long, in milliseconds. */
const graceMs = 60_000;

export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #lanes = new Map<Rollout, Lane>();
  readonly #ready = new Set<Lane>();
  readonly #waiting = new Map<Operation, Set<() => void>>();
  #sending = 0;
  #isStopped = false;
  #onIdle: (() => void) | undefined;

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
  }

  /** Rollouts with something to deliver. */
  get pending(): number {
    return this.#lanes.size;
  }

  /** Sends what the rollout has pending. It is stored already. */
  enqueue(rollout: Rollout): void {
    if (this.#lanes.has(rollout)) return;
    const lane: Lane = { rollout, state: "ready", cancelRest: undefined };
    this.#lanes.set(rollout, lane);
    this.#ready.add(lane);
    this.#pump();
  }

  /** Takes up what an earlier process left behind. Returns how many rollouts that is. */
  resume(): number {
    const { ledger, now } = this.#parts;
    const left = ledger.store.withPending().sort((one, other) => firstId(one) - firstId(other));
    for (const stored of left) {
      const rollout = ledger.open(stored);
      for (const operation of pendingOf(rollout)) {
        operation.deadlineAt = Math.max(operation.deadlineAt, now() + graceMs);
      }
      this.enqueue(rollout);
    }
    return left.length;
  }

  /** Resolves when the operation is pending no more, or when nothing more will be sent. */
  async settled(operation: Operation): Promise<void> {
    if (operation.state !== "pending" || this.#isStopped) return;
    const waiting = this.#waiting.get(operation) ?? new Set();
    this.#waiting.set(operation, waiting);
    await new Promise<void>((resolve) => waiting.add(resolve));
  }

  /** Goes on for at most `drainMs`, then stops: what is left stays stored. Answers with the rollouts left. */
  async drain(drainMs: number): Promise<readonly Rollout[]> {
    if (this.#lanes.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onIdle = resolve;
      const cancel = this.#parts.schedule(drainMs, resolve);
      await promise;
      cancel();
    }
    this.#isStopped = true;
    for (const lane of this.#lanes.values()) lane.cancelRest?.();
    for (const operation of [...this.#waiting.keys()]) this.#wake(operation);
    return [...this.#lanes.keys()];
  }

  #pump(): void {
    for (const lane of this.#ready) {
      if (this.#isStopped || this.#sending >= this.#parts.maxConcurrent) return;
      this.#ready.delete(lane);
      void this.#attempt(lane);
    }
  }

  async #attempt(lane: Lane): Promise<void> {
    const [operation] = pendingOf(lane.rollout);
    if (operation === undefined) {
      this.#end(lane);
      return;
    }
    lane.state = "sending";
    this.#sending += 1;
    operation.attempts += 1;
    try {
      const { requestId } = await this.#send(operation);
      operation.fault = undefined;
      this.#settle(lane.rollout, operation, { state: "delivered", requestId });
    } catch (thrown) {
      this.#failed(lane, operation, toGatewayError(thrown));
    }
    this.#sending -= 1;
    if (lane.state === "sending") this.#again(lane);
    this.#pump();
  }

  #send({ jobArn, trajectoryId, said, clientToken }: Operation): Promise<LifecycleResult> {
    const { client } = this.#parts;
    return said.operation === "complete_rollout"
      ? client.completeRollout({ jobArn, trajectoryId, status: said.status, clientToken })
      : client.updateReward({ jobArn, trajectoryId, rewards: said.rewards, clientToken });
  }

  #failed(lane: Lane, operation: Operation, error: GatewayError): void {
    const { now, random, schedule, log } = this.#parts;
    const { requestId } = error;
    const fault = { code: error.code, message: error.message };
    operation.fault = requestId === undefined ? fault : { ...fault, requestId };
    operation.failure = error;
    if (mayHaveArrived(error)) operation.mayHaveArrived = true;
    const verdict = verdictOn(error, operation, lane.rollout);
    if (verdict !== "retry") {
      this.#settle(lane.rollout, operation, { state: verdict, requestId });
      if (verdict === "refused") this.#refuseBehind(lane.rollout, operation);
      return;
    }
    const left = operation.deadlineAt - now();
    if (left <= 0) {
      this.#settle(lane.rollout, operation, { state: "expired", requestId });
      return;
    }
    if (this.#isStopped) return;
    // Not beyond the deadline: the last attempt is made when there is still something to gain.
    const delayMs = Math.min(backoffMs(operation.attempts, error, random()), left);
    log.info({ ...fieldsOf(operation), err: error, delay_ms: delayMs }, "delivery-retry");
    lane.state = "resting";
    lane.cancelRest = schedule(delayMs, () => this.#again(lane));
    this.#parts.ledger.settled(lane.rollout, operation);
  }

  /** The service would not have a reward whose rollout was not completed. */
  #refuseBehind(rollout: Rollout, completion: Operation): void {
    const { reward } = rollout;
    if (completion.said.operation !== "complete_rollout" || reward?.state !== "pending") return;
    reward.fault = completion.fault;
    reward.failure = completion.failure;
    this.#settle(rollout, reward, { state: "refused", requestId: completion.requestId });
  }

  #settle(
    rollout: Rollout,
    operation: Operation,
    {
      state,
      requestId,
    }: { readonly state: OperationState; readonly requestId: string | undefined },
  ): void {
    const { ledger, metrics, log, now } = this.#parts;
    operation.state = state;
    operation.settledAt = now();
    operation.requestId = requestId;
    ledger.settled(rollout, operation);
    metrics.lifecycleCalled(operation.said.operation, metricOf(state));
    const fields = { ...fieldsOf(operation), outcome: state, request_id: requestId };
    if (state === "delivered" || state === "already_done") {
      log.info({ ...fields, said: operation.fault?.message }, "delivery-settled");
    } else log.error({ ...fields, err: operation.failure }, "delivery-failed");
    this.#wake(operation);
  }

  #again(lane: Lane): void {
    lane.cancelRest = undefined;
    if (this.#isStopped) return;
    if (pendingOf(lane.rollout).length === 0) {
      this.#end(lane);
      return;
    }
    lane.state = "ready";
    this.#ready.add(lane);
    this.#pump();
  }

  #end(lane: Lane): void {
    this.#lanes.delete(lane.rollout);
    if (this.#lanes.size === 0) this.#onIdle?.();
  }

  #wake(operation: Operation): void {
    const waiting = this.#waiting.get(operation);
    this.#waiting.delete(operation);
    for (const resolve of waiting ?? []) resolve();
  }
}

/** In the order in which they must go out; not before they are stored. */
function pendingOf({ completion, reward }: Rollout): Operation[] {
  return [completion, reward].filter(
    (operation) => operation?.state === "pending" && operation.isStored,
  ) as Operation[];
}

function firstId(rollout: Rollout): number {
  return pendingOf(rollout)[0]?.id ?? 0;
}

function metricOf(state: OperationState): LifecycleOutcome {
  return state === "delivered" || state === "already_done" ? state : "failed";
}

function fieldsOf({ said, jobArn, trajectoryId, attempts, origin }: Operation) {
  const { operation } = said;
  return { operation, job_arn: jobArn, trajectory_id: trajectoryId, attempts, origin };
}
