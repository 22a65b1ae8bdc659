/** Ledger, delivery and lifecycle around a recording client, on a clock of the test's own. */
import { Delivery } from "../../src/rollouts/delivery.ts";
import { Ledger, type LedgerOptions, type RolloutKey } from "../../src/rollouts/ledger.ts";
import { RolloutLifecycle } from "../../src/rollouts/lifecycle.ts";
import type { Schedule } from "../../src/rollouts/schedule.ts";
import type { TurnEnd, TurnOutcome } from "../../src/rollouts/turn.ts";
import type { LifecycleOperation, LifecycleOutcome } from "../../src/telemetry/metrics.ts";
import { RecordingClient } from "./recording-client.ts";
import { VirtualClock } from "./virtual-clock.ts";

export const jobArn = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/one";
export const otherJob = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/two";
export const keyOf = (trajectoryId: string): RolloutKey => ({ jobArn, trajectoryId });

export interface DeskOptions {
  /** Default: the clock's own. */
  readonly schedule?: Schedule;
  readonly clock?: VirtualClock;
  readonly client?: RecordingClient;
  readonly ledger?: Omit<LedgerOptions, "now" | "schedule">;
  readonly maxConcurrent?: number;
  readonly refuseEmpty?: boolean;
  readonly random?: () => number;
}

export interface Logged {
  readonly level: "info" | "warn" | "error";
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export function setUpDesk(options: DeskOptions = {}) {
  const { clock = new VirtualClock(), client = new RecordingClient() } = options;
  const { now } = clock;
  const { schedule = clock.schedule } = options;
  const ledger = new Ledger({ ...options.ledger, now, schedule });
  const calls: [LifecycleOperation, LifecycleOutcome][] = [];
  const logged: Logged[] = [];
  const at = (level: Logged["level"]) => (fields: unknown, message?: string) =>
    logged.push({ level, fields: fields as Logged["fields"], message: message ?? "" });
  const log = { info: at("info"), warn: at("warn"), error: at("error") };
  const delivery = new Delivery({
    client,
    ledger,
    metrics: { lifecycleCalled: (operation, outcome) => calls.push([operation, outcome]) },
    log,
    now,
    schedule,
    random: options.random ?? (() => 0.5),
    maxConcurrent: options.maxConcurrent ?? 32,
  });
  const lifecycle = new RolloutLifecycle({
    ledger,
    delivery,
    log,
    now,
    deadlineMs: 540_000,
    refuseEmpty: options.refuseEmpty ?? false,
  });
  return { clock, client, ledger, delivery, lifecycle, calls, logged, log };
}

export function begin(ledger: Ledger, of: RolloutKey, retryCount = 0) {
  return ledger.beginTurn({ ...of, stream: false, retryCount, bytesIn: 10 });
}

export function ending(outcome: TurnOutcome, more: Partial<TurnEnd> = {}): TurnEnd {
  return { outcome, status: 200, bytesOut: 10, durationMs: 5, attempts: 1, ...more };
}

export function finishTurn(ledger: Ledger, of: RolloutKey): void {
  ledger.endTurn(begin(ledger, of), ending("finished"));
}
