/**
 * One thing to be said to the service about a rollout: that it is complete, or what it earned. Accepted means
 * stored; from then on it is pending until the service has it, refuses it, or the deadline has passed.
 */
import type { GatewayError, GatewayErrorCode } from "../errors.ts";
import type { RolloutStatus } from "../job-runtime/lifecycle.ts";
import type { RolloutKey } from "./rollout-key.ts";

export interface Completing {
  readonly operation: "complete_rollout";
  readonly status: RolloutStatus;
}

export interface Rewarding {
  readonly operation: "update_reward";
  /** What goes out. */
  readonly rewards: readonly number[];
  /** How the caller said it, as JSON: said again, it means these rewards, whatever is known of the turns by then. */
  readonly asked: string;
}

export type Statement = Completing | Rewarding;

/** Who wanted it: a caller, or turnpike itself as its configuration says. */
export type OperationOrigin = "caller" | "idle_timeout" | "fallback" | "shutdown";

export type OperationState =
  | "pending"
  /** The service has acknowledged it. */
  | "delivered"
  /** The service said that the trajectory had moved on before. */
  | "already_done"
  /** The service will not have it, now or later. */
  | "refused"
  /** The deadline has passed; it may have arrived or not. */
  | "expired";

/** Why the last attempt failed, or what the service said when it had moved on. */
export interface OperationFault {
  readonly code: GatewayErrorCode;
  readonly message: string;
  readonly requestId?: string;
}

export interface Operation<Said extends Statement = Statement> extends RolloutKey {
  /** Ascending in the order of acceptance. */
  readonly id: number;
  readonly said: Said;
  readonly clientToken: string;
  readonly origin: OperationOrigin;
  /** Times are milliseconds since the epoch. */
  readonly acceptedAt: number;
  deadlineAt: number;
  /** On the disk, and so allowed to go out. */
  isStored: boolean;
  state: OperationState;
  attempts: number;
  /** An attempt ended without an answer: the service may have it. */
  mayHaveArrived: boolean;
  settledAt: number | undefined;
  /** The service's, of its last answer. */
  requestId: string | undefined;
  fault: OperationFault | undefined;
  /** The error to answer with, while this process knows it. */
  failure: GatewayError | undefined;
}

/** The service has it. */
export function isDone({ state }: Operation): boolean {
  return state === "delivered" || state === "already_done";
}

/** The service has it or may yet have it: nothing else can be said in its place. */
export function isBinding(operation: Operation): boolean {
  const over = operation.state === "refused" || operation.state === "expired";
  return !over || operation.mayHaveArrived;
}
