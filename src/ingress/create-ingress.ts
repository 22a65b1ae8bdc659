/** The ingress as the configuration asks for it: its agent, its bounds, its listener. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import type { Config } from "../config/schema.ts";
import { TrajectoryRecorder } from "../exec/trajectory-recorder.ts";
import { createGuard, type Guard } from "../http/guard.ts";
import { type Listener, listen } from "../http/listener.ts";
import type { RegistrationSettings } from "../http/register-rollout.ts";
import type { Ledger } from "../rollouts/ledger.ts";
import type { RolloutLifecycle } from "../rollouts/lifecycle.ts";
import { viewRollout } from "../rollouts/rollout-view.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { createCommandAgent } from "./command-agent.ts";
import { createHttpAgent } from "./http-agent.ts";
import { Ingress } from "./ingress.ts";
import { createIngressApp } from "./ingress-app.ts";
import type { RunAgent } from "./rollout-job.ts";

export interface IngressContext {
  readonly ledger: Ledger;
  readonly lifecycle: Pick<RolloutLifecycle, "submit" | "outcome">;
  readonly metrics: Pick<Metrics, "ingressEnded" | "ingressGauges">;
  readonly log: Logger;
  readonly registration: RegistrationSettings;
  /** What an agent's program starts with. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface RunningIngress {
  /** `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Reads along where a reward command wants the turns. */
  readonly recorder: TrajectoryRecorder | undefined;
  /** Drains, and takes no connections any more. */
  close(drainMs: number): Promise<void>;
}

/** Rejects with node's error when it cannot listen. */
export async function startIngress(
  config: Config,
  context: IngressContext,
): Promise<RunningIngress> {
  const { ingress: settings, agent } = config;
  const { ledger, lifecycle, metrics, log, registration } = context;
  const recorder = agent.reward_command === null ? undefined : new TrajectoryRecorder();
  const { run, close } = createAgent(config, context, recorder);
  const ingress = new Ingress({
    ledger,
    lifecycle,
    metrics,
    log,
    runAgent: run,
    onFailure: agent.on_failure,
    maxConcurrent: settings.max_concurrent,
    maxQueued: settings.max_queued,
    deadlineMs: settings.deadline_ms,
  });
  const unanswered = new Set<ServerResponse>();
  const app = createIngressApp({
    ingress,
    unanswered,
    registration,
    respond: settings.respond,
    onInternalError: (error) => log.error({ err: error }, "internal error"),
  });
  const listener: Listener = await listen({
    app,
    guard: ingressGuard(config),
    host: settings.host,
    port: settings.port,
    maxHeaderBytes: config.server.max_header_bytes,
  });
  return {
    url: listener.url,
    recorder,
    async close(drainMs) {
      await ingress.close(drainMs);
      await answered(unanswered);
      await listener.close();
      await close();
    },
  };
}

/** Those who wait for the end of a rollout hear it before their connections are cut; a moment is enough. */
async function answered(unanswered: ReadonlySet<ServerResponse>): Promise<void> {
  const closed = [...unanswered].map((outgoing) => once(outgoing, "close"));
  const moment = new AbortController();
  const patience = pause(1_000, undefined, { signal: moment.signal }).catch(() => undefined);
  await Promise.race([Promise.all(closed), patience]);
  moment.abort();
}

interface CreatedAgent {
  readonly run: RunAgent;
  readonly close: () => Promise<void>;
}

function createAgent(
  { agent, server }: Config,
  { ledger, environment }: IngressContext,
  recorder: TrajectoryRecorder | undefined,
): CreatedAgent {
  const { url, command, reward_command: rewardCommand, on_failure: onFailure } = agent;
  const [apiKey] = server.api_keys;
  if (url !== null) return createHttpAgent({ url, apiKey, onFailure });
  const run = createCommandAgent({
    command,
    rewardCommand,
    apiKey,
    onFailure,
    environment: withoutOurs(environment),
    recorder,
    view({ registered }) {
      const key = { jobArn: registered.job_arn, trajectoryId: registered.id };
      const rollout = ledger.get(key);
      return rollout && viewRollout(rollout);
    },
  });
  return { run, close: () => Promise.resolve() };
}

/** turnpike's own settings, its keys among them, are no business of the agent's. */
function withoutOurs(environment: IngressContext["environment"]): IngressContext["environment"] {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith("TURNPIKE_")),
  );
}

/** The gateway's own guard. `ingress.without_key`: no key, and any Host, since nobody knows what AgentCore's proxy says there. */
function ingressGuard({ ingress, server }: Config): Guard {
  const { host, without_key: isOpen } = ingress;
  const guard = createGuard({ ...server, host, api_keys: isOpen ? [] : server.api_keys });
  if (!isOpen) return guard;
  return ({ headers }) => guard({ headers: { ...headers, host: "localhost" } });
}
