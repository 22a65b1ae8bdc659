/** Everything that keeps account of rollouts, put together: store, ledger, lifecycle, delivery, watchdog. */
import type { Logger } from "pino";
import type { Config } from "../config/schema.ts";
import type { LifecycleClient } from "../job-runtime/lifecycle.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { Delivery } from "./delivery.ts";
import { Ledger } from "./ledger.ts";
import { RolloutLifecycle } from "./lifecycle.ts";
import type { Rollout } from "./rollout.ts";
import { realSchedule } from "./schedule.ts";
import { Store } from "./store.ts";
import { Watchdog } from "./watchdog.ts";

export interface DeskParts {
  readonly config: Pick<Config, "rollouts" | "delivery" | "shutdown" | "state">;
  readonly metrics: Pick<Metrics, "lifecycleCalled">;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Asked when something is delivered, not before. */
  readonly client: () => LifecycleClient;
}

/** Rollouts named in the log where many are left. */
const maxNamed = 20;

export class RolloutDesk {
  readonly ledger: Ledger;
  readonly lifecycle: RolloutLifecycle;
  readonly #parts: DeskParts;
  readonly #delivery: Delivery;
  readonly #watchdog: Watchdog;

  /** Opens the store: throws `state_unavailable` with what to do. */
  constructor(parts: DeskParts) {
    const { config, log, metrics, now } = parts;
    const schedule = realSchedule;
    const store = Store.open(config.state.dir);
    if (store.followsUncleanEnd) {
      log.warn(
        "the turnpike before this one did not end in order: counts of open rollouts may be short",
      );
    }
    this.#parts = parts;
    const { max_kept: maxRollouts, max_turns: maxTurns } = config.rollouts;
    const onState = sayState(log);
    this.ledger = new Ledger({ store, maxRollouts, maxTurns, now, schedule, onState });
    const { ledger } = this;
    const { max_concurrent: maxConcurrent, deadline_s } = config.delivery;
    this.#delivery = new Delivery({
      client: {
        completeRollout: (input) => parts.client().completeRollout(input),
        updateReward: (input) => parts.client().updateReward(input),
      },
      ledger,
      metrics,
      log,
      now,
      schedule,
      random: Math.random,
      maxConcurrent,
    });
    this.lifecycle = new RolloutLifecycle({
      ledger,
      delivery: this.#delivery,
      log,
      now,
      deadlineMs: deadline_s * 1_000,
      refuseEmpty: config.rollouts.refuse_empty,
    });
    const { lifecycle } = this;
    const settings = watchdogSettings(config.rollouts);
    this.#watchdog = new Watchdog({ ledger, lifecycle, log, now, schedule, settings });
  }

  /** Takes up the deliveries of the process before this one. */
  start(): void {
    const resumed = this.#delivery.resume();
    if (resumed > 0) this.#parts.log.info({ rollouts: resumed }, "deliveries-resumed");
  }

  /** Delivers for at most `drainMs` and says what is left. Call it when no more turns come. */
  async drain(drainMs: number): Promise<void> {
    this.#watchdog.stop();
    if (this.#parts.config.shutdown.open_rollouts === "fail") await this.#watchdog.failOpen();
    const left = await this.#delivery.drain(drainMs);
    if (left.length > 0) this.#sayLeft(left);
  }

  close(): void {
    this.#watchdog.stop();
    this.ledger.close();
  }

  #sayLeft(left: readonly Rollout[]): void {
    const fields = {
      rollouts: left.length,
      trajectory_ids: left.slice(0, maxNamed).map(({ trajectoryId }) => trajectoryId),
    };
    if (this.ledger.store.isPersistent) {
      this.#parts.log.warn(
        fields,
        "deliveries-left: they are in state.dir, and the next turnpike that runs with it delivers them",
      );
    } else {
      this.#parts.log.error(
        fields,
        "deliveries-lost: they were in memory only; set state.dir (TURNPIKE_STATE_DIR) to keep them",
      );
    }
  }
}

function watchdogSettings(rollouts: Config["rollouts"]) {
  const { idle_timeout_s, idle_status, idle_reward, fallback_reward, fallback_after_s } = rollouts;
  return {
    idleTimeoutMs: idle_timeout_s === null ? null : idle_timeout_s * 1_000,
    idleStatus: idle_status,
    idleReward: idle_reward,
    fallbackReward: fallback_reward,
    fallbackAfterMs: fallback_after_s * 1_000,
  };
}

function sayState(log: Pick<Logger, "error" | "info">) {
  return (isWritable: boolean, error?: Error): void => {
    if (isWritable) log.info("state-writable: turnpike can write its state again");
    else
      log.error(
        { err: error },
        "state-unwritable: turns go on, completions and rewards are refused",
      );
  };
}
