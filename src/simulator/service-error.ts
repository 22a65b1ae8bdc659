/**
 * The service's errors: a type name, the status that goes with it, and AWS's shape on the wire.
 */

const statuses = {
  // [model] The table of service.md.
  ValidationException: 400,
  ServiceQuotaExceededException: 402,
  AccessDeniedException: 403,
  ResourceNotFoundException: 404,
  ConflictException: 409,
  ThrottlingException: 429,
  InternalServiceError: 500,
  // Common front-door errors: they come before the operation is reached.
  MissingAuthenticationTokenException: 403,
  UnrecognizedClientException: 403,
  InvalidSignatureException: 403,
  ExpiredTokenException: 403,
  IncompleteSignatureException: 403,
  // [inferred] What AWS's REST-JSON services answer outside their model.
  UnknownOperationException: 404,
  RequestEntityTooLargeException: 413,
  UnsupportedMediaTypeException: 415,
  ServiceUnavailable: 503,
} as const;

export type ServiceErrorType = keyof typeof statuses;

interface ServiceErrorOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly html?: string;
  readonly cause?: unknown;
}

/** An error the service answers with. `headers` are added to the response (`retry-after`). */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly type: ServiceErrorType;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent as HTML in place of AWS's JSON and headers, as a load balancer in front of the service does. */
  readonly html: string | undefined;

  constructor(type: ServiceErrorType, message: string, options: ServiceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.type = type;
    this.status = statuses[type];
    this.headers = options.headers ?? {};
    this.html = options.html;
  }
}

/** The body of an error response: `Message` as the model names it, and `__type` for older clients [model]. */
export function serviceErrorBody(error: ServiceError): string {
  return JSON.stringify({ __type: error.type, Message: error.message });
}
