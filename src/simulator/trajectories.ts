/**
 * The trajectories and their states: PENDING (turns are captured) → CompleteRollout → READY or FAILED →
 * UpdateReward → REWARD_RECEIVED [docs]. Idempotency by ClientToken. No I/O here.
 *
 * Where service.md is silent, [inferred]:
 * - UpdateReward after a `failed` completion is accepted once, since the SDK sends it; the state stays
 *   FAILED, which the guide calls terminal.
 * - A completion or reward for a trajectory never seen makes it exist (`create`): trajectory ids are made
 *   by the trainer, so the service knows them before any turn. `not-found` answers
 *   ResourceNotFoundException instead, which the SDK also allows for.
 * - Sample on a sealed trajectory is a ValidationException, since Sample lists no ConflictException.
 */
import { LRUCache } from "lru-cache";
import { simulatorLimits } from "./limits.ts";
import type {
  CompleteRolloutInput,
  LifecycleOperation,
  TrajectoryKey,
  UpdateRewardInput,
} from "./members.ts";
import { ServiceError } from "./service-error.ts";
import { type CapturedTurn, exportTurn, TurnMemory, type TurnRecord } from "./turns.ts";

export type TrajectoryState = "PENDING" | "READY" | "FAILED" | "REWARD_RECEIVED";

/** One distinct CompleteRollout or UpdateReward, however often it was sent. */
export interface LifecycleCall {
  readonly operation: LifecycleOperation;
  readonly clientToken: string | null;
  /** `Status` of a CompleteRollout. */
  readonly status?: "ready" | "failed";
  /** `Rewards` of an UpdateReward. */
  readonly rewards?: readonly number[];
  /** It took effect, once, whatever `timesSeen` says. */
  readonly applied: boolean;
  readonly timesSeen: number;
  readonly timesRefused: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** A trajectory at one moment, without its turns. */
export interface TrajectorySummary extends TrajectoryKey {
  readonly state: TrajectoryState;
  /** Turns captured, also those no longer in memory. */
  readonly turnCount: number;
  /** What UpdateReward delivered; `null` before. */
  readonly rewards: readonly number[] | null;
  /** Every ClientToken seen, in order. */
  readonly clientTokens: readonly string[];
  readonly lifecycle: readonly LifecycleCall[];
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A trajectory at one moment. */
export interface TrajectorySnapshot extends TrajectorySummary {
  /** The turns still in memory, in the order of capture. */
  readonly turns: readonly CapturedTurn[];
}

export type UnknownTrajectory = "create" | "not-found";

export interface TrajectoriesOptions {
  readonly clock: () => number;
  readonly maxTrajectories?: number;
  readonly maxTurns?: number;
  readonly maxKeptBodyBytes?: number;
  readonly unknownTrajectory?: UnknownTrajectory;
  /** When given, only these jobs exist. */
  readonly jobs?: readonly string[];
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

interface Trajectory extends TrajectoryKey {
  state: TrajectoryState;
  turnCount: number;
  readonly turns: Set<TurnRecord>;
  rewards: readonly number[] | null;
  readonly lifecycle: Map<string, Mutable<LifecycleCall>>;
  readonly createdAt: number;
  updatedAt: number;
}

export class Trajectories {
  readonly #clock: () => number;
  readonly #unknown: UnknownTrajectory;
  readonly #jobs: ReadonlySet<string> | undefined;
  readonly #byKey: LRUCache<string, Trajectory>;
  /** What each ClientToken said, by operation and job: a token means one thing only. */
  readonly #tokens: LRUCache<string, string>;
  readonly #memory: TurnMemory;

  constructor(options: TrajectoriesOptions) {
    const max = options.maxTrajectories ?? simulatorLimits.maxTrajectories;
    this.#clock = options.clock;
    this.#unknown = options.unknownTrajectory ?? "create";
    this.#jobs = options.jobs === undefined ? undefined : new Set(options.jobs);
    this.#byKey = new LRUCache({ max });
    this.#tokens = new LRUCache({ max: max * 2 });
    this.#memory = new TurnMemory({
      maxTurns: options.maxTurns ?? simulatorLimits.maxTurns,
      maxBodyBytes: options.maxKeptBodyBytes ?? simulatorLimits.maxKeptBodyBytes,
      forget: (turn) => this.#byKey.peek(keyOf(turn))?.turns.delete(turn),
    });
  }

  /** Throws unless the trajectory takes turns; returns how many were captured so far. */
  admitTurn(key: TrajectoryKey): number {
    this.#checkJob(key);
    const trajectory = this.#byKey.get(keyOf(key));
    if (trajectory === undefined) return 0;
    if (trajectory.state !== "PENDING") {
      throw new ServiceError(
        "ValidationException",
        `Trajectory ${key.trajectoryId} is not in valid status for Sample: ${trajectory.state}; only PENDING takes turns.`,
      );
    }
    return trajectory.turnCount;
  }

  /**
   * Captures a turn and numbers it. The trajectory comes into being with its first; one that was sealed
   * while the model was answering takes no more, so this throws as `admitTurn` does.
   */
  capture(turn: Omit<TurnRecord, "sequence" | "capturedAt">): TurnRecord {
    this.admitTurn(turn);
    const trajectory = this.#getOrCreate(turn);
    trajectory.turnCount += 1;
    trajectory.updatedAt = this.#clock();
    const record: TurnRecord = Object.assign(turn, {
      sequence: trajectory.turnCount,
      capturedAt: trajectory.updatedAt,
    });
    trajectory.turns.add(record);
    this.#memory.add(record);
    return record;
  }

  appendResponse(turn: TurnRecord, bytes: Uint8Array): void {
    this.#memory.appendResponse(turn, bytes);
  }

  /** Notes that a turn's response has ended. */
  finish(turn: TurnRecord): void {
    this.#memory.compact(turn);
  }

  complete(input: CompleteRolloutInput): void {
    const said = { operation: "CompleteRollout", status: input.status } as const;
    this.#once(input, said, (trajectory) => {
      if (trajectory.state !== "PENDING") {
        const target = input.status === "ready" ? "READY" : "FAILED";
        throw new ServiceError(
          "ConflictException",
          `Cannot transition trajectory ${input.trajectoryId} from ${trajectory.state} to ${target}.`,
        );
      }
      trajectory.state = input.status === "ready" ? "READY" : "FAILED";
    });
  }

  reward(input: UpdateRewardInput): void {
    const said = { operation: "UpdateReward", rewards: input.rewards } as const;
    this.#once(input, said, (trajectory) => {
      const takesReward =
        trajectory.state === "READY" ||
        (trajectory.state === "FAILED" && trajectory.rewards === null);
      if (!takesReward) {
        throw new ServiceError(
          "ConflictException",
          `Trajectory ${input.trajectoryId} is not in valid status for UpdateReward: ${trajectory.state}${trajectory.rewards === null ? "" : ", its reward was received"}.`,
        );
      }
      trajectory.rewards = input.rewards;
      if (trajectory.state === "READY") trajectory.state = "REWARD_RECEIVED";
    });
  }

  snapshot(key: TrajectoryKey): TrajectorySnapshot | undefined {
    const trajectory = this.#byKey.peek(keyOf(key));
    return trajectory === undefined ? undefined : snapshotOf(trajectory);
  }

  /** Every trajectory in memory, the longest unused first. One at a time, since all at once may be large. */
  *snapshots(): Generator<TrajectorySnapshot> {
    for (const trajectory of this.#byKey.rvalues()) {
      if (trajectory !== undefined) yield snapshotOf(trajectory);
    }
  }

  /** Every trajectory in memory, without turns. */
  *summaries(): Generator<TrajectorySummary> {
    for (const trajectory of this.#byKey.rvalues()) {
      if (trajectory !== undefined) yield summaryOf(trajectory);
    }
  }

  /** Every turn in memory, oldest first. */
  *turns(trajectoryId?: string): Generator<CapturedTurn> {
    for (const turn of this.#memory.turns()) {
      if (trajectoryId === undefined || turn.trajectoryId === trajectoryId) yield exportTurn(turn);
    }
  }

  get size(): number {
    return this.#byKey.size;
  }

  clear(): void {
    this.#byKey.clear();
    this.#tokens.clear();
    this.#memory.clear();
  }

  /** Applies a lifecycle call at most once per ClientToken, and keeps count of how often it came. */
  #once(
    input: TrajectoryKey & { readonly clientToken?: string },
    said: Pick<LifecycleCall, "operation" | "status" | "rewards">,
    apply: (trajectory: Trajectory) => void,
  ): void {
    this.#checkJob(input);
    const content = JSON.stringify([input.trajectoryId, said]);
    const tokenKey = `${said.operation}\n${input.jobArn}\n${input.clientToken}`;
    const before = input.clientToken === undefined ? undefined : this.#tokens.get(tokenKey);
    if (before !== undefined && before !== content) {
      throw new ServiceError(
        "ConflictException",
        `ClientToken ${input.clientToken} was already used for another ${said.operation} request.`,
      );
    }
    const trajectory = this.#forLifecycle(input);
    const call = this.#noteCall(trajectory, input.clientToken ?? null, said);
    if (before !== undefined) return;
    try {
      apply(trajectory);
    } catch (error) {
      call.timesRefused += 1;
      throw error;
    }
    call.applied = true;
    trajectory.updatedAt = call.lastAt;
    if (input.clientToken !== undefined) this.#tokens.set(tokenKey, content);
  }

  #noteCall(
    trajectory: Trajectory,
    clientToken: string | null,
    said: Pick<LifecycleCall, "operation" | "status" | "rewards">,
  ): Mutable<LifecycleCall> {
    const now = this.#clock();
    const name = JSON.stringify([clientToken, said]);
    const known = trajectory.lifecycle.get(name);
    if (known !== undefined) {
      known.timesSeen += 1;
      known.lastAt = now;
      return known;
    }
    const call = {
      ...said,
      clientToken,
      applied: false,
      timesSeen: 1,
      timesRefused: 0,
      firstAt: now,
      lastAt: now,
    };
    // Beyond the bound a call still counts, it is only not listed.
    if (trajectory.lifecycle.size < simulatorLimits.maxLifecycleCallsPerTrajectory) {
      trajectory.lifecycle.set(name, call);
    }
    return call;
  }

  #forLifecycle(key: TrajectoryKey): Trajectory {
    const known = this.#byKey.get(keyOf(key));
    if (known !== undefined) return known;
    if (this.#unknown === "not-found") {
      throw new ServiceError(
        "ResourceNotFoundException",
        `Trajectory ${key.trajectoryId} of job ${key.jobArn} does not exist.`,
      );
    }
    return this.#getOrCreate(key);
  }

  #getOrCreate(key: TrajectoryKey): Trajectory {
    const known = this.#byKey.get(keyOf(key));
    if (known !== undefined) return known;
    const now = this.#clock();
    const created: Trajectory = {
      jobArn: key.jobArn,
      trajectoryId: key.trajectoryId,
      state: "PENDING",
      turnCount: 0,
      turns: new Set(),
      rewards: null,
      lifecycle: new Map(),
      createdAt: now,
      updatedAt: now,
    };
    this.#byKey.set(keyOf(key), created);
    return created;
  }

  #checkJob(key: TrajectoryKey): void {
    if (this.#jobs !== undefined && !this.#jobs.has(key.jobArn)) {
      throw new ServiceError("ResourceNotFoundException", `Job ${key.jobArn} does not exist.`);
    }
  }
}

/** An ARN has no newline, so the two cannot run into each other. */
function keyOf(key: TrajectoryKey): string {
  return `${key.jobArn}\n${key.trajectoryId}`;
}

function snapshotOf(trajectory: Trajectory): TrajectorySnapshot {
  return { ...summaryOf(trajectory), turns: [...trajectory.turns].map(exportTurn) };
}

function summaryOf(trajectory: Trajectory): TrajectorySummary {
  const lifecycle = [...trajectory.lifecycle.values()].map((call) => ({ ...call }));
  const tokens = lifecycle.flatMap((call) => call.clientToken ?? []);
  return {
    jobArn: trajectory.jobArn,
    trajectoryId: trajectory.trajectoryId,
    state: trajectory.state,
    turnCount: trajectory.turnCount,
    rewards: trajectory.rewards,
    clientTokens: [...new Set(tokens)],
    lifecycle,
    createdAt: trajectory.createdAt,
    updatedAt: trajectory.updatedAt,
  };
}
