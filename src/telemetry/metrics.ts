/** What /metrics says. Labels come from closed sets: never a trajectory, never an ARN, never a caller's text. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { ambiguousCodes, type GatewayErrorCode } from "../errors.ts";
import type { TokenUsage, TurnEnd, TurnOutcome, TurnStart } from "../rollouts/turn.ts";
import { version } from "../version.ts";
import { BoundHistogram, type HistogramSeries } from "./histogram.ts";
import { type RolloutMetrics, rolloutMetrics } from "./rollout-metrics.ts";

export type LifecycleOperation = "complete_rollout" | "update_reward";
/** `already_done`: the service had moved on before. */
export type LifecycleOutcome = "delivered" | "already_done" | "failed";

export interface Metrics extends RolloutMetrics {
  readonly contentType: string;
  /** The exposition text. */
  text(): Promise<string>;
  turnStarted(start: TurnStart): void;
  turnEnded(start: TurnStart, end: TurnEnd): void;
  /** A client's retry that did not become a turn. */
  retryJoined(): void;
  lifecycleCalled(operation: LifecycleOperation, outcome: LifecycleOutcome): void;
}

/** Up to the default total timeout: turns are anything from a cached word to a long chain of thought. */
const durationBounds = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 900,
];

/** service.md, "Errors", the front door's and the stream's; any other name is counted as `other`. */
const serviceTypes = [
  "ValidationException",
  "ServiceQuotaExceededException",
  "AccessDeniedException",
  "ResourceNotFoundException",
  "ConflictException",
  "ThrottlingException",
  "InternalServiceError",
  "MissingAuthenticationTokenException",
  "UnrecognizedClientException",
  "InvalidSignatureException",
  "ExpiredTokenException",
  "IncompleteSignatureException",
  "ServiceUnavailableException",
  "ModelStreamError",
  "InternalStreamFailure",
];

/** Failures on the way to or from the service that it did not name itself. */
const upstreamCodes: readonly GatewayErrorCode[] = [
  "upstream_unreachable",
  "upstream_reset",
  "upstream_protocol",
  "upstream_stream_error",
  "stream_truncated",
  "upstream_timeout",
  "connect_timeout",
  "credentials_unavailable",
];

export interface MetricsOptions {
  /** Memory, CPU, event loop and GC of the process, sampled when scraped; default true. */
  readonly processMetrics?: boolean;
}

/** One registry per gateway, so that two in one process (tests) do not share counts. */
export function createMetrics({ processMetrics = true }: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  if (processMetrics) collectDefaultMetrics({ register: registry });
  buildInfo(registry);
  const observeTurn = turnMetrics(registry);
  const observeLifecycle = lifecycleMetrics(registry);
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    ...observeTurn,
    ...rolloutMetrics(registry),
    lifecycleCalled: observeLifecycle,
  };
}

function buildInfo(registry: Registry): void {
  new Gauge({
    name: "turnpike_build_info",
    help: "Always 1; the labels say what runs.",
    labelNames: ["version", "node_version"],
    registers: [registry],
  })
    .labels(version, process.version)
    .set(1);
}

function turnMetrics(
  registry: Registry,
): Pick<Metrics, "turnStarted" | "turnEnded" | "retryJoined"> {
  const duration = turnHistogram(registry, {
    name: "turnpike_turn_duration_seconds",
    help: "From a turn's arrival to its end, in seconds.",
  });
  const firstByte = turnHistogram(registry, {
    name: "turnpike_turn_first_byte_seconds",
    help: "From a turn's arrival to the first body byte written to the client, in seconds.",
  });
  const inFlight = new Gauge({
    name: "turnpike_turns_in_flight",
    help: "Turns that have begun and not ended.",
    registers: [registry],
  });
  const retries = counter(registry, {
    name: "turnpike_client_retries_total",
    help: "Turns the client marked as a retry (X-Stainless-Retry-Count above 0).",
  });
  const joined = counter(registry, {
    name: "turnpike_client_retries_joined_total",
    help: "Retries that got the answer of their first call instead of becoming a turn.",
  });
  const observeEnd = endCounters(registry);
  return {
    retryJoined: () => joined.inc(),
    turnStarted(start) {
      inFlight.inc();
      if (start.retryCount > 0) retries.inc();
    },
    turnEnded(start, end) {
      inFlight.dec();
      duration(start.stream, end.outcome).observe(end.durationMs / 1000);
      if (end.firstByteMs !== undefined) {
        firstByte(start.stream, end.outcome).observe(end.firstByteMs / 1000);
      }
      observeEnd(end);
    },
  };
}

type SeriesOf = (stream: boolean, outcome: TurnOutcome) => HistogramSeries;

function turnHistogram(registry: Registry, names: { name: string; help: string }): SeriesOf {
  const histogram = new BoundHistogram({ ...names, bounds: durationBounds });
  registry.registerMetric(histogram.asMetric());
  const bind = (stream: string): Record<TurnOutcome, HistogramSeries> => ({
    finished: histogram.series({ stream, outcome: "finished" }),
    failed: histogram.series({ stream, outcome: "failed" }),
    truncated: histogram.series({ stream, outcome: "truncated" }),
    client_left: histogram.series({ stream, outcome: "client_left" }),
  });
  const streamed = bind("true");
  const whole = bind("false");
  return (stream, outcome) => (stream ? streamed : whole)[outcome];
}

function endCounters(registry: Registry): (end: TurnEnd) => void {
  const disconnects = counter(registry, {
    name: "turnpike_client_disconnects_total",
    help: "Turns whose client left before the end.",
  });
  const truncated = counter(registry, {
    name: "turnpike_truncated_streams_total",
    help: "Answers that had begun and broke off.",
  });
  const errors = upstreamErrors(registry);
  const countTokens = tokenCounter(registry);
  const resends = counter(registry, {
    name: "turnpike_resends_total",
    help: "Calls to the service beyond the first of their turn.",
  });
  const ambiguous = counter(registry, {
    name: "turnpike_ambiguous_turns_total",
    help: "Turns that failed or were sent again although the service may have captured them.",
  });
  return ({ outcome, usage, serviceType, code, attempts, possibleDuplicate }) => {
    if (attempts > 1) resends.inc(attempts - 1);
    if (possibleDuplicate || (code !== undefined && ambiguousCodes.has(code))) ambiguous.inc();
    if (outcome === "client_left") disconnects.inc();
    else if (outcome === "truncated") truncated.inc();
    if (outcome !== "finished") errors(serviceType, code);
    if (usage !== undefined) countTokens(usage);
  };
}

/** Summed aside and handed over when scraped: a labelled `inc` costs more than the rest of a turn's counting. */
function tokenCounter(registry: Registry): (usage: TokenUsage) => void {
  let prompt = 0;
  let completion = 0;
  new Counter({
    name: "turnpike_tokens_total",
    help: "Tokens as the model reported them.",
    labelNames: ["kind"],
    registers: [registry],
    collect() {
      this.reset();
      this.inc({ kind: "prompt" }, prompt);
      this.inc({ kind: "completion" }, completion);
    },
  });
  return (usage) => {
    prompt += usage.promptTokens;
    completion += usage.completionTokens;
  };
}

/** By the service's name for it, else by ours; errors that never left turnpike (guard, identity) are not counted. */
function upstreamErrors(
  registry: Registry,
): (serviceType: string | undefined, code: GatewayErrorCode | undefined) => void {
  const errors = new Counter({
    name: "turnpike_upstream_errors_total",
    help: "Turns that failed at the service or on the way, by the service's error type.",
    labelNames: ["type"],
    registers: [registry],
  });
  const known = new Set([...serviceTypes, ...upstreamCodes, "other"]);
  for (const type of known) errors.labels(type).inc(0);
  return (serviceType, code) => {
    if (serviceType !== undefined)
      errors.inc({ type: known.has(serviceType) ? serviceType : "other" });
    else if (code !== undefined && known.has(code)) errors.inc({ type: code });
  };
}

function lifecycleMetrics(registry: Registry): Metrics["lifecycleCalled"] {
  const calls = new Counter({
    name: "turnpike_lifecycle_calls_total",
    help: "Completions and rewards sent to the service, by outcome.",
    labelNames: ["operation", "outcome"],
    registers: [registry],
  });
  for (const operation of ["complete_rollout", "update_reward"]) {
    for (const outcome of ["delivered", "already_done", "failed"]) {
      calls.labels(operation, outcome).inc(0);
    }
  }
  return (operation, outcome) => calls.inc({ operation, outcome });
}

function counter(registry: Registry, names: { name: string; help: string }): Counter {
  return new Counter({ ...names, registers: [registry] });
}
