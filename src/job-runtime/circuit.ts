/**
 * The circuit breaker of one endpoint. Consecutive connection failures and 5xx open it; while it is open
 * calls fail at once instead of piling up; then one call at a time is let through as a probe, and the
 * first that gets any answer closes it. Throttling never opens it: a service that throttles is there.
 */
import { GatewayError, type GatewayErrorCode } from "../errors.ts";

export interface CircuitSettings {
  /** Failures in a row that open it; 0 keeps it closed for ever. */
  readonly failures: number;
  /** How long it stays open before a probe, in milliseconds. */
  readonly openMs: number;
}

export interface CircuitOptions extends CircuitSettings {
  /** A monotonic clock in milliseconds; default `performance.now`. */
  readonly now?: () => number;
}

const failureCodes: ReadonlySet<GatewayErrorCode> = new Set<GatewayErrorCode>([
  "upstream_unreachable",
  "connect_timeout",
  "upstream_reset",
  "service_internal",
  "service_unavailable",
]);

export type CircuitState = "closed" | "open" | "half-open";

export class Circuit {
  readonly #options: CircuitOptions;
  readonly #now: () => number;
  #failuresInARow = 0;
  #openUntil: number | undefined;
  #probing = false;

  constructor(options: CircuitOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get state(): CircuitState {
    if (this.#openUntil === undefined) return "closed";
    return this.#now() < this.#openUntil ? "open" : "half-open";
  }

  /** What a call must fail with instead of being made; `undefined` when it may go. Every admitted call reports its end. */
  admit(): GatewayError | undefined {
    if (this.#openUntil === undefined) return undefined;
    const waitMs = this.#openUntil - this.#now();
    if (waitMs <= 0 && !this.#probing) {
      this.#probing = true;
      return undefined;
    }
    return new GatewayError(
      "circuit_open",
      `The SageMaker Job Runtime service failed ${this.#failuresInARow} times in a row; turnpike gives it a moment (circuit.open_ms). The request was not sent.`,
      { retryAfterMs: Math.max(100, Math.ceil(waitMs)) },
    );
  }

  /** The service gave an answer, if only a refusal of this one call. */
  succeeded(): void {
    this.#failuresInARow = 0;
    this.#openUntil = undefined;
    this.#probing = false;
  }

  failed(error: GatewayError): void {
    if (!failureCodes.has(error.code) && !isFrontDoorFailure(error)) {
      // A refusal shows that the service is there; anything else says nothing either way.
      if (error.serviceType === undefined) this.abandoned();
      else this.succeeded();
      return;
    }
    this.#probing = false;
    this.#failuresInARow += 1;
    const { failures, openMs } = this.#options;
    if (failures > 0 && this.#failuresInARow >= failures) this.#openUntil = this.#now() + openMs;
  }

  /** The call ended without telling anything of the service: its client left. */
  abandoned(): void {
    this.#probing = false;
  }
}

/** A 5xx of something in front of the service, which has no error type of its own. */
function isFrontDoorFailure(error: GatewayError): boolean {
  return error.serviceType?.startsWith("HTTP 5") === true;
}
