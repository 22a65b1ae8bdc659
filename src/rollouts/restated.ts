import { GatewayError } from "../errors.ts";

/** The same error for client and metrics, with a message that says more. */
export function restated(error: GatewayError, message: string): GatewayError {
  const { param, requestId, retryAfterMs, status, shouldRetry, serviceType } = error;
  return new GatewayError(error.code, message, {
    cause: error,
    status,
    ...(param === null ? {} : { param }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(shouldRetry === undefined ? {} : { shouldRetry }),
    ...(serviceType === undefined ? {} : { serviceType }),
  });
}
