/**
 * What turnpike does about rollouts of its own accord, and only where it is told to: abandoned ones are completed,
 * late ones get the fallback reward. Each such completion and reward says so (`origin`).
 */
import type { Logger } from "pino";
import { toGatewayError } from "../errors.ts";
import type { RolloutStatus } from "../job-runtime/lifecycle.ts";
import type { Ledger } from "./ledger.ts";
import type { RolloutLifecycle, Submission } from "./lifecycle.ts";
import { isBinding } from "./operation.ts";
import type { Rollout } from "./rollout.ts";
import type { RolloutKey } from "./rollout-key.ts";
import type { Schedule } from "./schedule.ts";

export interface WatchdogSettings {
  /** rollouts.idle_timeout_s, in milliseconds; none: abandoned rollouts are left alone. */
  readonly idleTimeoutMs: number | null;
  readonly idleStatus: RolloutStatus;
  readonly idleReward: number | null;
  /** None: no rollout gets one. */
  readonly fallbackReward: number | null;
  /** After the first turn, in milliseconds. */
  readonly fallbackAfterMs: number;
}

export interface WatchdogParts {
  readonly ledger: Ledger;
  readonly lifecycle: Pick<RolloutLifecycle, "submit">;
  readonly log: Pick<Logger, "warn">;
  readonly now: () => number;
  readonly schedule: Schedule;
  readonly settings: WatchdogSettings;
}

const lookEveryMs = 1_000;

export class Watchdog {
  readonly #parts: WatchdogParts;
  readonly #startedAt: number;
  /** Those that may not be concluded so: asking again would change nothing. */
  readonly #refused = new WeakSet<Rollout>();
  #cancel: (() => void) | undefined;

  constructor(parts: WatchdogParts) {
    this.#parts = parts;
    this.#startedAt = parts.now();
    const { idleTimeoutMs, fallbackReward } = parts.settings;
    if (idleTimeoutMs !== null || fallbackReward !== null) this.#lookLater();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /**
   * shutdown.open_rollouts `fail`: completes as failed what this process has seen and nobody has completed.
   * Resolves when that is stored; delivery.ts sends it.
   */
  async failOpen(): Promise<void> {
    const { ledger } = this.#parts;
    ledger.flush();
    const open = ledger.store.openSeenAfter(this.#startedAt);
    // All at once: they share a commit.
    await Promise.all(
      open.map((key) => this.#submit(key, { status: "failed", origin: "shutdown" })),
    );
  }

  #lookLater(): void {
    this.#cancel = this.#parts.schedule(lookEveryMs, () => void this.#lookAgain());
  }

  async #lookAgain(): Promise<void> {
    try {
      await this.#look();
    } catch (error) {
      this.#parts.log.warn({ err: error }, "watchdog-failed");
    }
    if (this.#cancel !== undefined) this.#lookLater();
  }

  async #look(): Promise<void> {
    const { ledger, now, settings } = this.#parts;
    const { idleTimeoutMs, fallbackReward, fallbackAfterMs } = settings;
    ledger.flush();
    if (fallbackReward !== null) {
      const late = ledger.store.unrewardedSince(now() - fallbackAfterMs);
      await Promise.all(late.map((key) => this.#fallBack(key, fallbackReward)));
    }
    if (idleTimeoutMs === null) return;
    const idle = ledger.store.openSince(now() - idleTimeoutMs);
    await Promise.all(idle.map((key) => this.#giveUp(key, idleTimeoutMs)));
  }

  async #giveUp(key: RolloutKey, idleTimeoutMs: number): Promise<void> {
    const { ledger, now, settings } = this.#parts;
    const rollout = ledger.get(key);
    if (rollout === undefined || rollout.isSealed || rollout.inFlight > 0) return;
    if (this.#refused.has(rollout)) return;
    const lastSeenAt = rollout.lastActivityAt ?? rollout.createdAt;
    // The service has refused its completion once: saying it again would change nothing.
    if (lastSeenAt > now() - idleTimeoutMs || rollout.completion !== undefined) return;
    const { idleStatus: status, idleReward } = settings;
    const reward = idleReward === null || rollout.reward ? undefined : rewardOf(idleReward);
    await this.#submit(key, { status, reward, origin: "idle_timeout" });
  }

  async #fallBack(key: RolloutKey, fallbackReward: number): Promise<void> {
    const rollout = this.#parts.ledger.get(key);
    // A rollout whose model was never heard is not made to look like one that was.
    if (rollout === undefined || rollout.finished === 0 || rollout.reward !== undefined) return;
    if (hasRefusedCompletion(rollout) || this.#refused.has(rollout)) return;
    const status = rollout.isSealed ? undefined : "ready";
    await this.#submit(key, { status, reward: rewardOf(fallbackReward), origin: "fallback" });
  }

  async #submit(key: RolloutKey, submission: Submission): Promise<void> {
    const { lifecycle, log } = this.#parts;
    const { origin, status, reward } = submission;
    const fields = { job_arn: key.jobArn, trajectory_id: key.trajectoryId, origin };
    try {
      await lifecycle.submit(key, submission);
      log.warn({ ...fields, status, rewards: reward?.rewards }, "rollout-concluded-by-turnpike");
    } catch (error) {
      const rollout = this.#parts.ledger.get(key);
      // What cannot be stored now is tried again at the next look.
      if (rollout !== undefined && toGatewayError(error).status < 500) this.#refused.add(rollout);
      log.warn({ ...fields, err: error }, "rollout-not-concluded");
    }
  }
}

function rewardOf(value: number): NonNullable<Submission["reward"]> {
  return { rewards: [value], asked: JSON.stringify({ reward: value, shape: "scalar" }) };
}

function hasRefusedCompletion({ completion }: Rollout): boolean {
  return completion !== undefined && !isBinding(completion);
}
