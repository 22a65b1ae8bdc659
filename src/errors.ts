/**
 * The one error base of turnpike: a closed set of codes, each with the HTTP status and the OpenAI
 * error type it becomes. `http/error-response.ts` is the only place that puts one on the wire.
 */

interface ErrorKind {
  readonly status: number;
  /** `error.type` of OpenAI's error body. */
  readonly type: string;
  /**
   * What `x-should-retry` says. `undefined` leaves the decision to the client's own rule for the
   * status (the official SDKs retry 408, 409, 429 and every 5xx).
   */
  readonly shouldRetry?: boolean;
}

const invalid = "invalid_request_error";

const kinds = {
  // What the caller sent.
  invalid_json: { status: 400, type: invalid },
  invalid_request: { status: 400, type: invalid },
  invalid_identity: { status: 400, type: invalid },
  missing_identity: { status: 400, type: invalid },
  conflicting_identity: { status: 400, type: invalid },
  job_not_allowed: { status: 403, type: "permission_error" },
  invalid_reward: { status: 400, type: invalid },
  reward_count_mismatch: { status: 400, type: invalid },
  invalid_api_key: { status: 401, type: "authentication_error" },
  host_not_allowed: { status: 403, type: "permission_error" },
  origin_not_allowed: { status: 403, type: "permission_error" },
  not_found: { status: 404, type: invalid },
  method_not_allowed: { status: 405, type: invalid },
  unsupported_endpoint: { status: 404, type: invalid },
  unknown_rollout: { status: 404, type: invalid },
  rollout_conflict: { status: 409, type: invalid, shouldRetry: false },
  rollout_sealed: { status: 409, type: invalid, shouldRetry: false },
  rollout_empty: { status: 409, type: invalid, shouldRetry: false },
  max_turns_reached: { status: 400, type: invalid, shouldRetry: false },
  body_too_large: { status: 413, type: invalid },
  unsupported_media_type: { status: 415, type: invalid },
  headers_too_large: { status: 431, type: invalid },
  too_many_turns: { status: 429, type: "rate_limit_error" },
  too_many_rollouts: { status: 429, type: "rate_limit_error" },
  /** The ingress's agent ended badly, and nothing is reported of the rollout. */
  agent_failed: { status: 502, type: "api_error" },
  client_closed: { status: 499, type: invalid },
  // What the service said (service.md, "Errors").
  service_validation: { status: 400, type: invalid },
  service_access_denied: { status: 403, type: "permission_error" },
  service_not_found: { status: 404, type: "not_found_error" },
  service_conflict: { status: 409, type: "conflict_error", shouldRetry: false },
  service_throttled: { status: 429, type: "rate_limit_error" },
  insufficient_quota: { status: 429, type: "insufficient_quota", shouldRetry: false },
  service_internal: { status: 500, type: "api_error" },
  service_unavailable: { status: 503, type: "api_error" },
  /** turnpike's own: the service failed too often in a row (design: circuit). */
  circuit_open: { status: 503, type: "api_error" },
  service_credentials: { status: 401, type: "authentication_error", shouldRetry: false },
  // What came back could not be used, or nothing came back.
  upstream_unreachable: { status: 502, type: "api_error" },
  upstream_reset: { status: 502, type: "api_error", shouldRetry: false },
  upstream_protocol: { status: 502, type: "api_error", shouldRetry: false },
  upstream_stream_error: { status: 500, type: "api_error", shouldRetry: false },
  stream_truncated: { status: 502, type: "api_error", shouldRetry: false },
  upstream_timeout: { status: 504, type: "timeout_error", shouldRetry: false },
  connect_timeout: { status: 504, type: "timeout_error" },
  // turnpike itself.
  credentials_unavailable: { status: 401, type: "authentication_error", shouldRetry: false },
  delivery_expired: { status: 504, type: "timeout_error", shouldRetry: false },
  state_unavailable: { status: 503, type: "api_error" },
  shutting_down: { status: 503, type: "api_error" },
  internal: { status: 500, type: "api_error", shouldRetry: false },
} as const satisfies Record<string, ErrorKind>;

export type GatewayErrorCode = keyof typeof kinds;

/**
 * Failures after which nobody can tell whether the service captured the turn (design.md, "One logical
 * turn, one captured turn").
 */
export const ambiguousCodes: ReadonlySet<GatewayErrorCode> = new Set<GatewayErrorCode>([
  "upstream_reset",
  "upstream_protocol",
  "upstream_stream_error",
  "upstream_timeout",
  "stream_truncated",
]);

export interface GatewayErrorOptions {
  readonly cause?: unknown;
  /** The request field, header or path part the error is about (`error.param`). */
  readonly param?: string;
  /** The service's request id, where it answered. */
  readonly requestId?: string;
  /** How long the client should wait, in milliseconds; becomes `retry-after-ms` and `retry-after`. */
  readonly retryAfterMs?: number;
  /** Overrides the status of the code: an upstream's own status that has no code here. */
  readonly status?: number;
  /** Overrides the code's own `x-should-retry`. */
  readonly shouldRetry?: boolean;
  /** The service's own name for the error (`ThrottlingException`), for logs and metrics. */
  readonly serviceType?: string;
}

/** Every failure that can reach a client. The message says what was wrong, what is allowed, what to do. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly code: GatewayErrorCode;
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly shouldRetry: boolean | undefined;
  readonly serviceType: string | undefined;

  constructor(code: GatewayErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const kind: ErrorKind = kinds[code];
    this.code = code;
    this.status = options.status ?? kind.status;
    this.type = kind.type;
    this.param = options.param ?? null;
    this.requestId = options.requestId;
    this.retryAfterMs = options.retryAfterMs;
    this.shouldRetry = options.shouldRetry ?? kind.shouldRetry;
    this.serviceType = options.serviceType;
  }
}

/** Anything thrown, as a GatewayError; what turnpike did not foresee becomes `internal`, its text kept for the log only. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError(
    "internal",
    "turnpike failed on this request; its log has the details under this request's id.",
    { cause: thrown },
  );
}
