/** The composition root: configuration → a gateway that listens. Everything with a life of its own is made here. */
import type { Logger } from "pino";
import type { AuxiliaryCalls } from "./auxiliary/auxiliary-calls.ts";
import { createAuxiliary } from "./auxiliary/create-auxiliary.ts";
import type { Config } from "./config/schema.ts";
import { createApp } from "./http/app.ts";
import type { Corridor } from "./http/chat-completions.ts";
import { createGuard } from "./http/guard.ts";
import { type Listener, listen } from "./http/listener.ts";
import { modelRoutes } from "./http/models.ts";
import { observeTurns } from "./http/observe-turns.ts";
import { createOpsApp, type ReadinessChecks } from "./http/ops.ts";
import { RecentTurns } from "./http/recent-turns.ts";
import type { RegistrationSettings } from "./http/register-rollout.ts";
import { rolloutRoutes } from "./http/rollouts.ts";
import { TurnGate } from "./http/turn-gate.ts";
import { createIdentify } from "./identity/identify.ts";
import { createJobCheck } from "./identity/job-policy.ts";
import {
  type IngressContext,
  type RunningIngress,
  startIngress,
} from "./ingress/create-ingress.ts";
import { JobRuntimeClient } from "./job-runtime/client.ts";
import type { CredentialSource } from "./job-runtime/credentials.ts";
import type { AnswerSink, SampleRequest } from "./job-runtime/sample.ts";
import { createSamplingPolicy } from "./openai/sampling-policy.ts";
import { RolloutDesk } from "./rollouts/rollout-desk.ts";
import { createLogger } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";

/** What the configuration does not say, and what tests and `dev` replace. */
export interface GatewayOverrides {
  readonly credentials: CredentialSource;
  /** The service's URL; default the configured one, else the region's. */
  readonly endpoint?: string;
  readonly region?: string;
  /** `dev`: where requests go that name no trajectory. */
  readonly fallbackTrajectoryId?: string;
  /** `dev`: the job of requests that name none. */
  readonly fallbackJobArn?: string;
  /** The keys of `auxiliary`: variable name → key (config/auxiliary-keys.ts). */
  readonly auxiliaryKeys?: ReadonlyMap<string, string>;
  /** Stands between a call and its sink: `exec` reads along for its reward command. */
  readonly watchAnswer?: (request: SampleRequest, sink: AnswerSink) => AnswerSink;
  /** What the agents that the ingress starts find in theirs; default nothing. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly log?: Logger;
  /** Epoch milliseconds. */
  readonly now?: () => number;
}

export interface Gateway extends AsyncDisposable {
  /** `http://127.0.0.1:8484`. */
  readonly url: string;
  readonly opsUrl: string;
  /** `undefined` without `ingress.enabled`. */
  readonly ingressUrl: string | undefined;
  /**
   * Drains: no new turns, those in flight and the deliveries go on up to `shutdown.drain_ms`; then turns end with
   * an error, and deliveries stay in the store.
   */
  close(): Promise<void>;
}

/**
 * Resolves when both listeners listen; rejects with node's error when one cannot, and with `state_unavailable` when
 * state.dir cannot be used.
 */
export async function createGateway(config: Config, overrides: GatewayOverrides): Promise<Gateway> {
  const parts = compose(config, overrides);
  const { max_header_bytes: maxHeaderBytes } = config.server;
  const gateway = await listen({
    app: parts.app,
    guard: createGuard(config.server),
    host: config.server.host,
    port: config.server.port,
    maxHeaderBytes,
  }).catch(async (error: unknown) => {
    parts.desk.close();
    await parts.runtime[Symbol.asyncDispose]();
    throw error;
  });
  parts.state.publicUrl = config.server.public_url?.replace(/\/+$/, "") ?? gateway.url;
  try {
    const { host, port } = config.ops;
    const ops = await listen({ app: parts.opsApp, host, port, maxHeaderBytes });
    parts.desk.start();
    const ingress = await openIngress(config, parts).catch(async (error: unknown) => {
      await ops.close();
      throw error;
    });
    const drainMs = config.shutdown.drain_ms;
    return new RunningGateway({ ...parts, gateway, ops, ingress, drainMs });
  } catch (error) {
    await gateway.close();
    parts.desk.close();
    await parts.runtime[Symbol.asyncDispose]();
    throw error;
  }
}

/** Last of the three listeners: whom it starts may call the gateway at once. */
async function openIngress(config: Config, parts: Composed): Promise<RunningIngress | undefined> {
  if (!config.ingress.enabled) return undefined;
  const ingress = await startIngress(config, parts.ingressContext);
  parts.state.watchAnswer ??= ingress.recorder?.watch.bind(ingress.recorder);
  return ingress;
}

/** What changes while it runs. */
interface GatewayState {
  publicUrl: string;
  draining: boolean;
  watchAnswer: GatewayOverrides["watchAnswer"];
}

type Composed = ReturnType<typeof compose>;

function compose(config: Config, overrides: GatewayOverrides) {
  const log = overrides.log ?? createLogger({ level: config.log.level });
  const metrics = createMetrics();
  const { now = Date.now } = overrides;
  const desk = new RolloutDesk({ config, metrics, log, now, client: () => runtime });
  const { ledger, lifecycle } = desk;
  const runtime = createRuntime(config, overrides);
  const gate = new TurnGate(config.server.max_concurrent_turns);
  const { watchAnswer, environment = {} } = overrides;
  const state: GatewayState = { publicUrl: "", draining: false, watchAnswer };
  const jobArn = config.identity.job_arn ?? overrides.fallbackJobArn ?? null;
  const { allowed_jobs: allowedJobs } = config.identity;
  const asksForKey = config.server.api_keys.length > 0;
  const identify = createIdentify({
    jobArn,
    trajectoryId: config.identity.trajectory_id,
    allowedJobs,
    madeTrajectoryId: overrides.fallbackTrajectoryId ?? null,
    bearerIsKey: asksForKey,
    registeredJobArn: (trajectoryId) => ledger.registeredJobArn(trajectoryId),
  });
  const keys = overrides.auxiliaryKeys ?? new Map<string, string>();
  const auxiliary = createAuxiliary(config, { keys, identify, ledger, metrics, log });
  const registration: RegistrationSettings = {
    ledger,
    jobArn,
    checkJob: createJobCheck(allowedJobs, jobArn),
    endpoint: overrides.endpoint ?? config.job_runtime.endpoint,
    publicUrl: () => state.publicUrl,
    asksForKey,
  };
  const app = createApp({
    corridor: {
      divert: auxiliary?.divert,
      identify,
      shape: createSamplingPolicy(config.sampling, (id) => ledger.samplingOf(id)),
      sample: (request, sink) =>
        runtime.sample(request, state.watchAnswer?.(request, sink) ?? sink),
      observer: observeTurns({ ledger, metrics, log }),
      gate,
      recent: new RecentTurns({
        replay: config.retries.replay,
        ttlMs: config.retries.replay_ttl_ms,
        maxBytes: config.retries.replay_max_bytes,
      }),
      limits: limitsOf(config),
    },
    rollouts: rolloutRoutes({
      ...registration,
      lifecycle,
      waitMs: config.delivery.wait_s * 1_000,
      allowedJobs,
    }),
    models: modelRoutes(config.models),
    onInternalError: (error) => log.error({ err: error }, "internal error"),
  });
  const opsApp = createOpsApp({ metrics, ready: () => readiness(state, overrides.credentials) });
  const ingressContext: IngressContext = {
    ledger,
    lifecycle,
    metrics,
    log,
    registration: { ...registration, publicUrl: () => localUrl(state.publicUrl) },
    environment,
  };
  return { app, opsApp, runtime, gate, auxiliary, desk, log, state, ingressContext };
}

function limitsOf(config: Config): Corridor["limits"] {
  return {
    maxBodyBytes: config.server.max_body_bytes,
    pingMs: config.timeouts.ping_ms,
    doneMarker: config.stream.done_marker,
    joinGraceMs: config.retries.join_grace_ms,
    maxKeptBytes: config.retries.replay ? config.retries.replay_max_bytes / 4 : 0,
  };
}

/** An agent beside the gateway finds one that listens on every address on this machine's own. */
function localUrl(url: string): string {
  return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
}

function createRuntime(config: Config, overrides: GatewayOverrides): JobRuntimeClient {
  const { timeouts, job_runtime: service, proxy } = config;
  return new JobRuntimeClient({
    region: overrides.region ?? service.region,
    endpoint: overrides.endpoint ?? service.endpoint,
    fips: service.fips,
    connectTimeoutMs: timeouts.connect_ms,
    proxy: {
      httpsProxy: proxy.https,
      httpProxy: proxy.http,
      noProxy: proxy.none_for,
    },
    credentials: overrides.credentials,
    circuit: { failures: config.circuit.failures, openMs: config.circuit.open_ms },
    retries: {
      maxAttempts: config.retries.max_attempts,
      baseDelayMs: config.retries.base_delay_ms,
      maxDelayMs: config.retries.max_delay_ms,
      budgetRatio: config.retries.budget_ratio,
      ambiguous: config.retries.ambiguous,
    },
    timeouts: {
      firstByteMs: timeouts.first_byte_ms,
      idleMs: timeouts.idle_ms,
      totalMs: timeouts.total_ms,
    },
    ...(overrides.now ? { now: overrides.now } : {}),
  });
}

/** Only what is local: a readiness probe must not cost a call of the service. */
async function readiness(
  state: GatewayState,
  credentials: CredentialSource,
): Promise<ReadinessChecks> {
  const resolved = credentials.current() ?? (await credentials.get().catch(() => undefined));
  return {
    accepting: state.draining ? { ok: false, message: "turnpike is shutting down." } : { ok: true },
    credentials: resolved
      ? { ok: true }
      : { ok: false, message: "No AWS credentials; `turnpike doctor` says what was tried." },
  };
}

interface RunningParts {
  readonly gateway: Listener;
  readonly ops: Listener;
  readonly ingress: RunningIngress | undefined;
  readonly runtime: JobRuntimeClient;
  readonly gate: TurnGate;
  readonly auxiliary: AuxiliaryCalls | undefined;
  readonly desk: RolloutDesk;
  readonly log: Logger;
  readonly state: GatewayState;
  readonly drainMs: number;
}

class RunningGateway implements Gateway {
  readonly url: string;
  readonly opsUrl: string;
  readonly ingressUrl: string | undefined;
  readonly #parts: RunningParts;
  #closing: Promise<void> | undefined;

  constructor(parts: RunningParts) {
    this.#parts = parts;
    this.url = parts.gateway.url;
    this.opsUrl = parts.ops.url;
    this.ingressUrl = parts.ingress?.url;
  }

  close(): Promise<void> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #drain(): Promise<void> {
    const { gateway, ops, ingress, runtime, gate, auxiliary, desk, log, state, drainMs } =
      this.#parts;
    const startedAt = performance.now();
    state.draining = true;
    if (gate.inFlight > 0) {
      log.info({ turns_in_flight: gate.inFlight, drain_ms: drainMs }, "draining");
    }
    // First the agents, while they still get turns: they are ended when half of the time is over.
    await ingress?.close(drainMs / 2);
    // Still listening: an agent whose last turn ends now has yet to complete its rollout.
    const turnsMs = ingress === undefined ? drainMs : timeLeft(drainMs, startedAt);
    await Promise.all([gate.close(turnsMs), auxiliary?.close(turnsMs)]);
    await desk.drain(timeLeft(drainMs, startedAt));
    // Whoever waited for a delivery has just been told; the answer is still to be written.
    await gateway.close(answerGraceMs);
    await auxiliary?.[Symbol.asyncDispose]();
    await runtime[Symbol.asyncDispose]();
    desk.close();
    // Last, so that probes see "not ready" instead of a refused connection for as long as turns go on.
    await ops.close();
  }
}

/** For answers that are on their way when everything else has ended, in milliseconds. */
const answerGraceMs = 1_000;

/** What the last turns have left of the drain time for deliveries; a little in any case. */
function timeLeft(drainMs: number, startedAt: number): number {
  return Math.max(drainMs - (performance.now() - startedAt), Math.min(drainMs, 2_000));
}
