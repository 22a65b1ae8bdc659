/** What the corridor tells its observers (ledger, metrics, log) about a turn. Never a body. */
import type { GatewayErrorCode } from "../errors.ts";
import type { SamplingChange } from "../openai/sampling.ts";

export interface TurnStart {
  readonly jobArn: string;
  readonly trajectoryId: string;
  /** Whether the body said `"stream": true`. */
  readonly stream: boolean;
  /** The client's own `X-Stainless-Retry-Count`, 0 where it sent none. */
  readonly retryCount: number;
  /**
   * Whether the service may have captured this very turn before, where the corridor knows; the ledger judges
   * from `retryCount` and its own account where this is absent.
   */
  readonly possibleDuplicate?: boolean;
  /** Length of the request body, in bytes. */
  readonly bytesIn: number;
  /** What turnpike changed in the body before it was sent; absent where nothing was. */
  readonly changes?: readonly SamplingChange[];
}

/** Tokens as the model reported them; absent where it reported none. */
export interface TokenUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export type TurnOutcome =
  /** The whole answer was written to the client. */
  | "finished"
  /** No answer: the client got an HTTP error. */
  | "failed"
  /** The answer had begun and broke off: the client got a terminal error event. */
  | "truncated"
  /** The client went away before the end. */
  | "client_left";

export interface TurnEnd {
  readonly outcome: TurnOutcome;
  /** The HTTP status the client saw; 499 where it left before one was written. */
  readonly status: number;
  /** Why it failed or broke off. */
  readonly code?: GatewayErrorCode;
  /** The service's own error name, e.g. `ThrottlingException`. */
  readonly serviceType?: string;
  /** The service's request id. */
  readonly requestId?: string;
  /** Body bytes written to the client. */
  readonly bytesOut: number;
  /** From the request's arrival to the first body byte written, in milliseconds. */
  readonly firstByteMs?: number;
  /** From the request's arrival to the end, in milliseconds. */
  readonly durationMs: number;
  /** Calls made to the service for this turn, resends included. */
  readonly attempts: number;
  readonly usage?: TokenUsage;
  /** Set where the end shows what the start could not: a resend after a doubtful attempt, or none at all. */
  readonly possibleDuplicate?: boolean;
}
