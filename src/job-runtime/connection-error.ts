/** A failed exchange with the service → GatewayError, told apart by whether the request can have been captured. */
import { GatewayError } from "../errors.ts";

export interface ExchangeProgress {
  /** A connection was there and the request was handed to it. */
  readonly sent: boolean;
  /** Bytes of the answer had arrived. */
  readonly answered: boolean;
}

/**
 * design.md, "One logical turn": never connected is safe to send again; anything after that is
 * ambiguous, so the client is told not to retry it.
 */
export function connectionError(cause: Error, progress: ExchangeProgress): GatewayError {
  const code = errorCode(cause);
  if (!progress.sent) {
    if (code === "UND_ERR_CONNECT_TIMEOUT") {
      return new GatewayError(
        "connect_timeout",
        "The SageMaker Job Runtime service could not be reached in time (timeouts.connect_ms). Nothing was sent.",
        { cause },
      );
    }
    return new GatewayError(
      "upstream_unreachable",
      `The SageMaker Job Runtime service could not be reached (${code}). Nothing was sent. \`turnpike doctor\` checks endpoint, proxy and network.`,
      { cause },
    );
  }
  return new GatewayError(
    "upstream_reset",
    progress.answered
      ? `The connection to the service broke while it was answering (${code}). The turn may have been captured; it was not sent again.`
      : `The connection to the service broke before it answered (${code}). The turn may have been captured; it was not sent again.`,
    { cause },
  );
}

/** The system's or undici's code for the failure; a happy-eyeballs failure hides it one level down. */
function errorCode(error: Error & { code?: unknown; errors?: unknown }): string {
  if (typeof error.code === "string") return error.code;
  if (error instanceof AggregateError && error.errors[0] instanceof Error) {
    return errorCode(error.errors[0]);
  }
  return error.cause instanceof Error ? errorCode(error.cause) : error.name;
}
