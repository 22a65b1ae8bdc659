/**
 * What turnpike knows of each rollout: turns, tokens, lifecycle. It observes the corridor and never stands in
 * it; a turn costs a few additions. In memory and bounded: the rollout idle longest is forgotten first.
 */
import { LRUCache } from "lru-cache";
import { GatewayError } from "../errors.ts";
import type { SamplingParameters } from "../openai/sampling.ts";
import { type Completion, type Reward, Rollout } from "./rollout.ts";
import type { AgentRun, Registration } from "./rollout-notes.ts";
import type { TurnEnd, TurnStart } from "./turn.ts";

export interface RolloutKey {
  readonly jobArn: string;
  readonly trajectoryId: string;
}

/** A turn between its start and its end. */
export interface LedgerTurn {
  readonly start: TurnStart;
  /** 1-based, in the trajectory. */
  readonly number: number;
  readonly rollout: Rollout;
}

export interface LedgerOptions {
  /** Rollouts kept; default 50,000 (well under 1 KB each). */
  readonly maxRollouts?: number;
  /** Milliseconds since the epoch; default `Date.now`. */
  readonly now?: () => number;
}

const defaultMaxRollouts = 50_000;

interface OpenTurn extends LedgerTurn {
  ended: boolean;
}

export class Ledger {
  readonly #now: () => number;
  readonly #rollouts: LRUCache<string, Rollout>;
  /** By trajectory: requests to a registered rollout need not name its job. */
  readonly #registered = new Map<string, Rollout>();
  #hasForgotten = false;

  constructor({ maxRollouts = defaultMaxRollouts, now = Date.now }: LedgerOptions = {}) {
    this.#now = now;
    this.#rollouts = new LRUCache({
      max: maxRollouts,
      dispose: (rollout, _key, reason) => {
        if (reason === "evict") this.#forget(rollout);
      },
    });
  }

  beginTurn(start: TurnStart): LedgerTurn {
    const rollout = this.#open(start);
    if (start.changes !== undefined) rollout.notes.noteChanges(start.changes);
    const turn: OpenTurn = { start, number: rollout.begin(this.#now()), rollout, ended: false };
    return turn;
  }

  /** A turn ends once: a second end (the client leaves as the answer completes) changes nothing. */
  endTurn(turn: LedgerTurn, end: TurnEnd): void {
    const open: OpenTurn = turn as OpenTurn;
    if (open.ended) return;
    open.ended = true;
    turn.rollout.end(end, this.#now());
  }

  /**
   * Makes the trajectory known before its first turn, with its job and how it was asked for. Again with the same
   * job and registration is the same rollout; with another it is `rollout_conflict`.
   */
  register(key: RolloutKey, registration?: Registration): Rollout {
    const known = this.#registered.get(key.trajectoryId);
    if (known !== undefined && known.jobArn !== key.jobArn) {
      throw new GatewayError(
        "rollout_conflict",
        `The rollout ${JSON.stringify(key.trajectoryId)} is registered for ${known.jobArn} already and cannot be registered for ${key.jobArn}. Use another id.`,
        { param: "job_arn" },
      );
    }
    const rollout = this.#open(key);
    refuseOtherRegistration(rollout, registration);
    rollout.notes.registration ??= registration;
    rollout.registered = true;
    this.#registered.set(key.trajectoryId, rollout);
    return rollout;
  }

  /** The job a trajectory was registered for. */
  registeredJobArn(trajectoryId: string): string | undefined {
    return this.#registered.get(trajectoryId)?.jobArn;
  }

  /** The trainer's inference parameters of a registered trajectory. */
  samplingOf(trajectoryId: string): SamplingParameters | undefined {
    return this.#registered.get(trajectoryId)?.notes.registration?.sampling;
  }

  /** A call in the rollout's name that was no turn. */
  noteAuxiliaryCall(key: RolloutKey, isWhole: boolean): void {
    const { notes } = this.#open(key);
    notes.auxiliaryCalls += 1;
    if (!isWhole) notes.auxiliaryFailures += 1;
  }

  /** How the rollout's agent has ended, where turnpike ran it. */
  noteAgent(key: RolloutKey, run: Omit<AgentRun, "at">): void {
    this.#open(key).notes.agent = { ...run, at: this.#now() };
  }

  markCompleted(key: RolloutKey, completion: Omit<Completion, "at">): Rollout {
    const rollout = this.#open(key);
    rollout.completion = { ...completion, at: this.#now() };
    return rollout;
  }

  markRewarded(key: RolloutKey, reward: Omit<Reward, "at">): Rollout {
    const rollout = this.#open(key);
    rollout.reward = { ...reward, at: this.#now() };
    return rollout;
  }

  get(key: RolloutKey): Rollout | undefined {
    return this.#rollouts.get(cacheKey(key));
  }

  /** The most recently used ones, latest first. */
  list(limit: number): Rollout[] {
    const listed: Rollout[] = [];
    for (const rollout of this.#rollouts.values()) {
      if (listed.length >= limit) break;
      listed.push(rollout);
    }
    return listed;
  }

  /** Every job's rollout of this name. Walks the whole ledger: for a person who looks, not for a turn. */
  find(trajectoryId: string): Rollout[] {
    return [...this.#rollouts.values()].filter((rollout) => rollout.trajectoryId === trajectoryId);
  }

  get size(): number {
    return this.#rollouts.size;
  }

  #open(key: RolloutKey): Rollout {
    const at = cacheKey(key);
    const known = this.#rollouts.get(at);
    if (known !== undefined) return known;
    const rollout = new Rollout(key.jobArn, key.trajectoryId, !this.#hasForgotten);
    this.#rollouts.set(at, rollout);
    return rollout;
  }

  /** Which ones were forgotten is itself forgotten, so from here on no new account can be called exact. */
  #forget(rollout: Rollout): void {
    this.#hasForgotten = true;
    if (this.#registered.get(rollout.trajectoryId) === rollout) {
      this.#registered.delete(rollout.trajectoryId);
    }
  }
}

function refuseOtherRegistration(rollout: Rollout, registration: Registration | undefined): void {
  const known = rollout.notes.registration;
  if (known === undefined || registration === undefined) return;
  if (known.digest === registration.digest) return;
  throw new GatewayError(
    "rollout_conflict",
    `The rollout ${JSON.stringify(rollout.trajectoryId)} is registered already, with another prompt or other inference parameters. Use another id for another rollout.`,
    { param: "id" },
  );
}

/** An ARN has no space in it. */
function cacheKey({ jobArn, trajectoryId }: RolloutKey): string {
  return `${jobArn} ${trajectoryId}`;
}
