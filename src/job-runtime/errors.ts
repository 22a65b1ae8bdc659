/** The service's error answers → GatewayError (service.md, "Errors"; design.md, the mapping under "Routes"). */
import { GatewayError, type GatewayErrorCode } from "../errors.ts";

export interface ServiceErrorAnswer {
  /** The bare type name, e.g. `ThrottlingException`. */
  readonly type: string;
  readonly message: string;
  /** HTTP status; `undefined` for an exception inside a stream. */
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  readonly retryAfterMs?: number;
}

const codesByType: Readonly<Record<string, GatewayErrorCode>> = {
  ValidationException: "service_validation",
  ServiceQuotaExceededException: "insufficient_quota",
  AccessDeniedException: "service_access_denied",
  ResourceNotFoundException: "service_not_found",
  ConflictException: "service_conflict",
  ThrottlingException: "service_throttled",
  InternalServiceError: "service_internal",
  MissingAuthenticationTokenException: "service_credentials",
  UnrecognizedClientException: "service_credentials",
  InvalidSignatureException: "service_credentials",
  ExpiredTokenException: "service_credentials",
  IncompleteSignatureException: "service_credentials",
  InvalidClientTokenId: "service_credentials",
  ServiceUnavailableException: "service_unavailable",
  ServiceUnavailable: "service_unavailable",
  ModelStreamError: "upstream_stream_error",
  InternalStreamFailure: "upstream_stream_error",
};

const codesByStatus: Readonly<Record<number, GatewayErrorCode>> = {
  400: "service_validation",
  402: "insufficient_quota",
  403: "service_access_denied",
  404: "service_not_found",
  409: "service_conflict",
  429: "service_throttled",
  500: "service_internal",
  503: "service_unavailable",
};

/** One service error as the error a client gets. */
export function serviceError(answer: ServiceErrorAnswer): GatewayError {
  const { type, status, requestId } = answer;
  const code =
    codesByType[type] ??
    (status === undefined ? undefined : codesByStatus[status]) ??
    "upstream_stream_error";
  const options = {
    serviceType: type,
    ...(requestId === undefined ? {} : { requestId }),
    ...(answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs }),
    ...(code === "upstream_stream_error" && status !== undefined ? { status } : {}),
    // An exception inside a stream: the turn had begun, so it may have been captured.
    ...(status === undefined ? { shouldRetry: false } : {}),
  };
  return new GatewayError(code, describe(code, answer), options);
}

function describe(code: GatewayErrorCode, { type, message }: ServiceErrorAnswer): string {
  const said = message === "" || message === type ? type : `${type}: ${message}`;
  switch (code) {
    case "service_credentials":
      return `The service did not accept turnpike's AWS credentials (${said}). Check which credentials turnpike runs with: \`turnpike doctor\` names them.`;
    case "service_access_denied":
      return `${said} (turnpike's role needs the four actions of the managed policy AmazonSageMakerJobRuntimeAccess on this job)`;
    default:
      return said;
  }
}

/** True for refusals that newer credentials may mend. */
export function isExpiredToken(error: GatewayError): boolean {
  return error.serviceType === "ExpiredTokenException" || error.serviceType === "ExpiredToken";
}

/** True for refusals that a corrected clock may mend: [docs] skew is reported as a signature error. */
export function isSkewSuspect(error: GatewayError): boolean {
  return (
    error.serviceType === "InvalidSignatureException" ||
    error.serviceType === "RequestTimeTooSkewed"
  );
}

/** [sdk] The two fragments that mark a trajectory as already completed or rewarded. */
export function isAlreadyMovedOn(error: GatewayError): boolean {
  return (
    error.message.includes("not in valid status") ||
    error.message.includes("Cannot transition trajectory")
  );
}

export interface ErrorResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** An HTTP error answer of the service, read: type from the header or the body, message from `Message` or `message`. */
export function readServiceError(response: ErrorResponse): GatewayError {
  if (response.status < 400) {
    return new GatewayError(
      "upstream_protocol",
      `The service answered with status ${response.status}, which is no answer of its protocol; turnpike follows no redirects. Check job_runtime.endpoint.`,
    );
  }
  const body = parseObject(response.body);
  const type = bareType(
    text(response.headers["x-amzn-errortype"]) ??
      text(body?.["__type"]) ??
      text(body?.["code"]) ??
      `HTTP ${response.status}`,
  );
  return serviceError({
    type,
    message: text(body?.["Message"]) ?? text(body?.["message"]) ?? "",
    status: response.status,
    requestId: text(response.headers["x-amzn-requestid"]),
    ...retryAfter(text(response.headers["retry-after"])),
  });
}

/** [model] The name may carry a `:http://…` suffix or a `namespace#` prefix. */
function bareType(name: string): string {
  const withoutSuffix = name.startsWith("HTTP ") ? name : (name.split(":")[0] ?? name);
  return withoutSuffix.slice(withoutSuffix.lastIndexOf("#") + 1);
}

function retryAfter(header: string | undefined): { retryAfterMs?: number } {
  const seconds = header === undefined ? Number.NaN : Number(header);
  return Number.isFinite(seconds) && seconds >= 0
    ? { retryAfterMs: Math.ceil(seconds * 1000) }
    : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function parseObject(body: Buffer): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
