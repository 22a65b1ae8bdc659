import { describe, expect, test } from "vitest";
import { GatewayError, type GatewayErrorCode } from "../../src/errors.ts";
import { Circuit } from "../../src/job-runtime/circuit.ts";
import { serviceError } from "../../src/job-runtime/errors.ts";
import { RetryPolicy, type RetrySettings } from "../../src/job-runtime/retry-policy.ts";

const settings: RetrySettings = {
  maxAttempts: 4,
  baseDelayMs: 100,
  maxDelayMs: 250,
  budgetRatio: 0.25,
  ambiguous: "error",
};

function policyOf(more: Partial<RetrySettings> = {}, random = () => 0.999) {
  const clock = { ms: 0 };
  const policy = new RetryPolicy({ ...settings, ...more, random, now: () => clock.ms });
  const ask = (error: GatewayError, question = {}) =>
    policy.delayBeforeResend({
      error,
      attempts: 1,
      elapsedMs: 0,
      patienceMs: 600_000,
      ...question,
    });
  return { policy, clock, ask };
}

const error = (code: GatewayErrorCode, options = {}) => new GatewayError(code, "x", options);

describe("sending again", () => {
  test.each([
    "upstream_unreachable",
    "connect_timeout",
    "service_throttled",
    "service_unavailable",
    "service_internal",
  ] as const)("is for what cannot be a second turn: %s", (code) => {
    expect(policyOf().ask(error(code))).toBeDefined();
  });

  test.each([
    "upstream_reset",
    "upstream_timeout",
    "upstream_protocol",
    "stream_truncated",
    "upstream_stream_error",
    "service_validation",
    "service_access_denied",
    "insufficient_quota",
    "circuit_open",
    "service_credentials",
  ] as const)("is not for %s", (code) => {
    expect(policyOf().ask(error(code))).toBeUndefined();
  });

  test("is not for an exception inside a stream, whatever its name: the turn had begun", () => {
    const inStream = serviceError({
      type: "ThrottlingException",
      message: "",
      status: undefined,
      requestId: undefined,
    });
    expect(inStream.shouldRetry).toBe(false);
    expect(policyOf().ask(inStream)).toBeUndefined();
  });

  test("is for what is ambiguous only where the operator says so", () => {
    const { ask } = policyOf({ ambiguous: "resend" });
    expect(ask(error("upstream_reset"))).toBeDefined();
    expect(ask(error("service_validation"))).toBeUndefined();
  });

  test("waits a random time up to twice as long each time, up to the limit", () => {
    const { ask } = policyOf();
    const throttled = error("service_throttled");
    expect([1, 2, 3].map((attempts) => Math.round(ask(throttled, { attempts }) ?? -1))).toEqual([
      100, 200, 250,
    ]);
    expect(policyOf({}, () => 0).ask(throttled)).toBe(0);
  });

  test("waits at least as long as the service asks for", () => {
    expect(policyOf().ask(error("service_throttled", { retryAfterMs: 2000 }))).toBeGreaterThan(
      2000,
    );
  });

  test("ends with the attempts, and with half of the client's patience", () => {
    const { ask } = policyOf();
    const throttled = error("service_throttled");
    expect(ask(throttled, { attempts: 4 })).toBeUndefined();
    expect(ask(throttled, { elapsedMs: 4_950, patienceMs: 10_000 })).toBeUndefined();
    expect(ask(throttled, { elapsedMs: 4_850, patienceMs: 10_000 })).toBeDefined();
  });

  test("has a budget for the process, which first calls and quiet seconds fill again", () => {
    const { ask, clock, policy } = policyOf();
    const throttled = error("service_throttled");
    const granted = Array.from({ length: 100 }, () => ask(throttled)).filter(
      (ms) => ms !== undefined,
    );
    expect(granted).toHaveLength(20);
    for (let call = 0; call < 8; call += 1) policy.firstCall();
    expect([ask(throttled), ask(throttled), ask(throttled)].map((ms) => ms !== undefined)).toEqual([
      true,
      true,
      false,
    ]);
    clock.ms += 1_001;
    expect(ask(throttled)).toBeDefined();
    expect(ask(throttled)).toBeUndefined();
  });
});

describe("the circuit", () => {
  function circuitOf(failures = 3) {
    const clock = { ms: 0 };
    return { clock, circuit: new Circuit({ failures, openMs: 1000, now: () => clock.ms }) };
  }
  const down = error("upstream_unreachable");

  test("opens after so many failures in a row, and says when to come back", () => {
    const { circuit, clock } = circuitOf();
    circuit.failed(down);
    circuit.failed(error("service_internal"));
    expect(circuit.admit()).toBeUndefined();
    circuit.failed(error("service_unavailable"));
    clock.ms += 400;
    expect(circuit.state).toBe("open");
    expect(circuit.admit()).toMatchObject({ code: "circuit_open", status: 503, retryAfterMs: 600 });
  });

  test("is closed again by one probe, while the others still wait", () => {
    const { circuit, clock } = circuitOf(1);
    circuit.failed(down);
    clock.ms += 1000;
    expect(circuit.state).toBe("half-open");
    expect(circuit.admit()).toBeUndefined();
    expect(circuit.admit()).toMatchObject({ code: "circuit_open" });
    circuit.succeeded();
    expect(circuit.state).toBe("closed");
    expect(circuit.admit()).toBeUndefined();
  });

  test("stays open when the probe fails, and lets another one through when its client left", () => {
    const { circuit, clock } = circuitOf(1);
    circuit.failed(down);
    clock.ms += 1000;
    circuit.admit();
    circuit.failed(down);
    expect(circuit.state).toBe("open");
    clock.ms += 1000;
    expect(circuit.admit()).toBeUndefined();
    circuit.abandoned();
    expect(circuit.admit()).toBeUndefined();
  });

  test("is never opened by throttling or refusals: who answers is there", () => {
    const { circuit } = circuitOf(2);
    const throttled = error("service_throttled", { serviceType: "ThrottlingException" });
    for (let n = 0; n < 10; n += 1) circuit.failed(throttled);
    expect(circuit.state).toBe("closed");
    circuit.failed(down);
    circuit.failed(throttled);
    circuit.failed(down);
    expect(circuit.state).toBe("closed");
  });

  test("is opened by a load balancer's 5xx, which has no error type", () => {
    const { circuit } = circuitOf(1);
    circuit.failed(error("upstream_stream_error", { serviceType: "HTTP 502", status: 502 }));
    expect(circuit.state).toBe("open");
  });

  test("with 0 failures never opens", () => {
    const { circuit } = circuitOf(0);
    for (let n = 0; n < 100; n += 1) circuit.failed(down);
    expect(circuit.admit()).toBeUndefined();
  });
});
