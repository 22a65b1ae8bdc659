/**
 * What turnpike knows of each rollout: turns, tokens, lifecycle. It observes the corridor and never stands in
 * it; a turn costs a few additions. Those in use are in memory; all of them are in the store, written behind the
 * corridor, up to a bound: the rollout seen longest ago is forgotten first.
 */
import { LRUCache } from "lru-cache";
import { GatewayError } from "../errors.ts";
import type { SamplingParameters } from "../openai/sampling.ts";
import type { Operation } from "./operation.ts";
import { Rollout } from "./rollout.ts";
import type { RolloutKey } from "./rollout-key.ts";
import type { AgentRun, Registration } from "./rollout-notes.ts";
import { realSchedule, type Schedule } from "./schedule.ts";
import { Store } from "./store.ts";
import type { TurnEnd, TurnStart } from "./turn.ts";
import { refuseTurn } from "./turn-refusal.ts";
import { WriteBehind } from "./write-behind.ts";

export type { RolloutKey } from "./rollout-key.ts";

/** A turn between its start and its end. */
export interface LedgerTurn {
  readonly start: TurnStart;
  /** 1-based, in the trajectory. */
  readonly number: number;
  readonly rollout: Rollout;
}

export interface LedgerOptions {
  /** Default: one in memory. The ledger closes it. */
  readonly store?: Store;
  /** rollouts.max_kept; default 50,000. */
  readonly maxRollouts?: number;
  /** Of those, in memory; default 10,000 (about 1 KB each). */
  readonly maxInMemory?: number;
  /** rollouts.max_turns; default no limit. */
  readonly maxTurns?: number | null;
  /** Milliseconds since the epoch; default `Date.now`. */
  readonly now?: () => number;
  readonly schedule?: Schedule;
  /** Told when the store cannot be written any more, and when it can again. */
  readonly onState?: (isWritable: boolean, error?: Error) => void;
}

const defaultMaxRollouts = 50_000;
const defaultMaxInMemory = 10_000;

interface OpenTurn extends LedgerTurn {
  ended: boolean;
  possibleDuplicate: boolean;
}

interface Registered {
  readonly jobArn: string;
  readonly sampling: SamplingParameters | undefined;
}

export class Ledger {
  readonly store: Store;
  readonly #now: () => number;
  readonly #maxRollouts: number;
  readonly #maxTurns: number;
  readonly #writes: WriteBehind;
  readonly #rollouts: LRUCache<string, Rollout>;
  /** Fell out of the cache while they were in use. */
  readonly #held = new Map<string, Rollout>();
  /** In the store and not in memory: only for these the corridor waits for a read. */
  readonly #stored = new Set<string>();
  /** By trajectory: requests to a registered rollout need not name its job. */
  readonly #registered = new Map<string, Registered>();
  #hasForgotten: boolean;

  constructor(options: LedgerOptions = {}) {
    this.store = options.store ?? Store.open(null);
    this.#now = options.now ?? Date.now;
    this.#maxRollouts = options.maxRollouts ?? defaultMaxRollouts;
    this.#maxTurns = options.maxTurns ?? Number.POSITIVE_INFINITY;
    this.#hasForgotten = this.store.hasForgottenOpen;
    this.#rollouts = new LRUCache({
      max: options.maxInMemory ?? defaultMaxInMemory,
      dispose: (rollout, key, reason) => {
        if (reason !== "evict") return;
        if (rollout.isPinned) this.#held.set(key, rollout);
        else this.#stored.add(key);
      },
    });
    this.#writes = new WriteBehind({
      store: this.store,
      schedule: options.schedule ?? realSchedule,
      now: this.#now,
      onState: options.onState ?? (() => undefined),
      onFlushed: () => this.#tidy(),
    });
    for (const key of this.store.keys()) this.#stored.add(cacheKey(key));
    for (const rollout of this.store.registered()) this.#noteRegistered(rollout);
  }

  /** Throws `rollout_sealed` and `max_turns_reached`: such a turn does not begin. */
  beginTurn(start: TurnStart): LedgerTurn {
    const rollout = this.#open(start);
    refuseTurn(rollout, this.#maxTurns);
    const possibleDuplicate = isPossibleDuplicate(start, rollout);
    if (start.changes !== undefined) rollout.notes.noteChanges(start.changes);
    const number = rollout.begin(this.#now());
    if (possibleDuplicate) {
      rollout.possibleDuplicates += 1;
      // Rare, and known to nobody else: it must not die with this process.
      this.#writes.writeNow(rollout);
    }
    this.#writes.changed(rollout);
    const turn: OpenTurn = { start, number, rollout, ended: false, possibleDuplicate };
    return turn;
  }

  /** A turn ends once: a second end (the client leaves as the answer completes) changes nothing. */
  endTurn(turn: LedgerTurn, end: TurnEnd): void {
    const open: OpenTurn = turn as OpenTurn;
    if (open.ended) return;
    open.ended = true;
    const { rollout } = turn;
    rollout.end(end, this.#now());
    const isDuplicate = end.possibleDuplicate ?? open.possibleDuplicate;
    rollout.possibleDuplicates += Number(isDuplicate) - Number(open.possibleDuplicate);
    this.#writes.changed(rollout);
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
    if (known !== undefined && registration === undefined) return rollout;
    rollout.notes.registration ??= registration;
    rollout.registered = true;
    this.#noteRegistered(rollout);
    // Requests that name no job are sent to the one that was registered: a crash must not change that.
    this.#writes.writeNow(rollout);
    return rollout;
  }

  /** The job a trajectory was registered for. */
  registeredJobArn(trajectoryId: string): string | undefined {
    return this.#registered.get(trajectoryId)?.jobArn;
  }

  /** The trainer's inference parameters of a registered trajectory. */
  samplingOf(trajectoryId: string): SamplingParameters | undefined {
    return this.#registered.get(trajectoryId)?.sampling;
  }

  /** A call in the rollout's name that was no turn. */
  noteAuxiliaryCall(key: RolloutKey, isWhole: boolean): void {
    const rollout = this.#open(key);
    rollout.notes.auxiliaryCalls += 1;
    if (!isWhole) rollout.notes.auxiliaryFailures += 1;
    this.#writes.changed(rollout);
  }

  /** How the rollout's agent has ended, where turnpike ran it. */
  noteAgent(key: RolloutKey, run: Omit<AgentRun, "at">): void {
    const rollout = this.#open(key);
    rollout.notes.agent = { ...run, at: this.#now() };
    this.#writes.changed(rollout);
  }

  /** Stores what is to be said of the rollout. Rejects with `state_unavailable`, and then it is not accepted. */
  async accept(rollout: Rollout, operations: readonly Operation[]): Promise<void> {
    await this.#writes.commit(rollout, operations);
  }

  /** Writes down what became of the operation, in a while. */
  settled(rollout: Rollout, operation: Operation): void {
    this.#writes.settled(operation);
    this.#writes.changed(rollout);
  }

  get(key: RolloutKey): Rollout | undefined {
    const at = cacheKey(key);
    return this.#rollouts.get(at) ?? this.#held.get(at) ?? this.#load(at, key);
  }

  /** The rollout, made known where it is not. */
  open(key: RolloutKey): Rollout {
    return this.#open(key);
  }

  /** Those seen last, the latest first. */
  list(limit: number): Rollout[] {
    this.flush();
    const latest = this.store.latest(limit).map((stored) => this.#peek(stored) ?? stored);
    const unwritten = [...this.#rollouts.values()].filter((rollout) => rollout.isDirty);
    return unwritten.length === 0
      ? latest
      : [...new Set([...unwritten, ...latest])].slice(0, limit);
  }

  /** Every job's rollout of this name. Walks the whole cache: for a person who looks, not for a turn. */
  find(trajectoryId: string): Rollout[] {
    const inMemory = [...this.#rollouts.values(), ...this.#held.values()];
    const stored = this.store.findNamed(trajectoryId);
    return [
      ...inMemory.filter((rollout) => rollout.trajectoryId === trajectoryId),
      ...stored.filter((rollout) => this.#peek(rollout) === undefined),
    ];
  }

  get size(): number {
    return this.#rollouts.size + this.#held.size + this.#stored.size;
  }

  /** Writes what has changed. */
  flush(): void {
    this.#writes.flush();
  }

  /** Writes what has changed and closes the store, which then knows that nothing is missing. */
  close(): void {
    this.#writes.close();
    this.store.close();
  }

  #open(key: RolloutKey): Rollout {
    const at = cacheKey(key);
    const known = this.#rollouts.get(at);
    if (known !== undefined) return known;
    const kept = this.#held.get(at) ?? this.#load(at, key);
    if (kept !== undefined) return kept;
    const rollout = new Rollout(key, this.#now());
    rollout.countsMayBeShort = this.#hasForgotten;
    this.#rollouts.set(at, rollout);
    return rollout;
  }

  #peek(key: RolloutKey): Rollout | undefined {
    const at = cacheKey(key);
    return this.#rollouts.peek(at) ?? this.#held.get(at);
  }

  #load(at: string, key: RolloutKey): Rollout | undefined {
    if (!this.#stored.has(at)) return undefined;
    // What cannot be read throws: a rollout must not go on as a new one under its old name.
    const rollout = this.store.find(key);
    this.#stored.delete(at);
    if (rollout !== undefined) this.#rollouts.set(at, rollout);
    return rollout;
  }

  #noteRegistered({ trajectoryId, jobArn, notes }: Rollout): void {
    this.#registered.set(trajectoryId, { jobArn, sampling: notes.registration?.sampling });
  }

  /** After a write: what is not in use any more need not be held, and what is too much is forgotten. */
  #tidy(): void {
    for (const [key, rollout] of this.#held) {
      if (rollout.isPinned) continue;
      this.#held.delete(key);
      this.#stored.add(key);
    }
    if (this.size <= this.#maxRollouts) return;
    for (const { wasOpen, ...key } of this.store.prune(this.#maxRollouts))
      this.#forget(key, wasOpen);
  }

  /** Which ones were forgotten is itself forgotten, so from here on no new account can be called exact. */
  #forget(key: RolloutKey, wasOpen: boolean): void {
    // In use: it will be written again.
    if (this.#peek(key)?.isPinned) return;
    const at = cacheKey(key);
    if (wasOpen) this.#hasForgotten = true;
    this.#stored.delete(at);
    this.#held.delete(at);
    this.#rollouts.delete(at);
    if (this.#registered.get(key.trajectoryId)?.jobArn === key.jobArn) {
      this.#registered.delete(key.trajectoryId);
    }
  }
}

function isPossibleDuplicate(start: TurnStart, rollout: Rollout): boolean {
  const byLedger = start.retryCount > 0 && rollout.retryMayDuplicate();
  return start.possibleDuplicate ?? byLedger;
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
