/** The answers a fault gives instead of the operation's. */
import type { Exchange } from "./exchange.ts";
import type { FaultRule } from "./fault-rules.ts";
import { ServiceError, type ServiceErrorType } from "./service-error.ts";

const answers: Partial<Record<FaultRule["kind"], readonly [ServiceErrorType, string]>> = {
  throttle: ["ThrottlingException", "Rate exceeded"],
  "internal-error": ["InternalServiceError", "An internal error occurred. Try again later."],
  unavailable: ["ServiceUnavailable", "Service Unavailable"],
  "access-denied": [
    "AccessDeniedException",
    "User is not authorized to perform this action on the resource.",
  ],
  "expired-token": [
    "ExpiredTokenException",
    "The security token included in the request is expired",
  ],
  quota: ["ServiceQuotaExceededException", "The account's quota for this operation is used up."],
  validation: ["ValidationException", "The request is not valid."],
  "not-found": ["ResourceNotFoundException", "The resource does not exist."],
  conflict: ["ConflictException", "The request conflicts with the state of the resource."],
};

/** Throws the fault's answer. */
export function answerFault(exchange: Exchange, fault: FaultRule): never {
  const [type, text] = answers[fault.kind] ?? ["InternalServiceError", "Unknown fault."];
  exchange.noteFault(fault.kind);
  const message = "message" in fault ? (fault.message ?? text) : text;
  const seconds = "retryAfterSeconds" in fault ? fault.retryAfterSeconds : undefined;
  throw new ServiceError(type, message, {
    headers: seconds === undefined ? {} : { "retry-after": String(seconds) },
    ...("html" in fault && fault.html === true ? { html: balancerPage(message) } : {}),
  });
}

function balancerPage(message: string): string {
  return `<html>\n<head><title>503 ${message}</title></head>\n<body><center><h1>503 ${message}</h1></center></body>\n</html>\n`;
}
