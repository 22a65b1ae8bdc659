/** Auxiliary calls as the configuration asks for them, counted in metrics and ledger. */
import type { Logger } from "pino";
import type { Config } from "../config/schema.ts";
import type { ArrivedRequest } from "../http/chat-completions.ts";
import type { Identify } from "../identity/identify.ts";
import { rolloutPathSegment } from "../identity/path.ts";
import { createDispatcher } from "../job-runtime/dispatcher.ts";
import type { Ledger, RolloutKey } from "../rollouts/ledger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { AuxiliaryCalls } from "./auxiliary-calls.ts";

export interface AuxiliaryContext {
  /** Variable name → key. */
  readonly keys: ReadonlyMap<string, string>;
  readonly identify: Identify;
  readonly ledger: Ledger;
  readonly metrics: Pick<Metrics, "auxiliaryCalled">;
  readonly log: Pick<Logger, "info" | "warn">;
}

/** `undefined` where no auxiliary server is configured: then no request is looked at. */
export function createAuxiliary(
  config: Config,
  { keys, identify, ledger, metrics, log }: AuxiliaryContext,
): AuxiliaryCalls | undefined {
  if (config.auxiliary.length === 0) return undefined;
  const { timeouts, proxy, server } = config;
  return new AuxiliaryCalls({
    servers: config.auxiliary,
    keys,
    timeouts: {
      firstByteMs: timeouts.first_byte_ms,
      idleMs: timeouts.idle_ms,
      totalMs: timeouts.total_ms,
    },
    maxConcurrent: server.max_concurrent_turns,
    createDispatcher: (origin) =>
      createDispatcher({
        origin,
        connectTimeoutMs: timeouts.connect_ms,
        proxy: { httpsProxy: proxy.https, httpProxy: proxy.http, noProxy: proxy.none_for },
      }),
    onCall(arrived, { outcome }) {
      metrics.auxiliaryCalled(outcome);
      const key = rolloutOf(arrived, identify);
      if (key !== undefined) ledger.noteAuxiliaryCall(key, outcome === "answered");
    },
    log,
  });
}

/** A judge need not say for which rollout it judges: then only the metric counts it. */
function rolloutOf({ incoming }: ArrivedRequest, identify: Identify): RolloutKey | undefined {
  const { headers, rawHeaders, url } = incoming;
  try {
    return identify({ pathTrajectoryId: rolloutPathSegment(url ?? ""), headers, rawHeaders });
  } catch {
    return undefined;
  }
}
