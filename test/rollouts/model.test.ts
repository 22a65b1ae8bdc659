/**
 * Ledger and delivery against a model, over any order of turns, completions, rewards, failures of the service, time
 * that passes, and deaths of the process: the state folder is copied as it is, and everything else is gone.
 */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import { GatewayError } from "../../src/errors.ts";
import { serviceError } from "../../src/job-runtime/errors.ts";
import type {
  CompleteRolloutInput,
  LifecycleClient,
  LifecycleResult,
  UpdateRewardInput,
} from "../../src/job-runtime/lifecycle.ts";
import type { LedgerTurn } from "../../src/rollouts/ledger.ts";
import type { Operation } from "../../src/rollouts/operation.ts";
import { Store } from "../../src/rollouts/store.ts";
import type { TurnOutcome } from "../../src/rollouts/turn.ts";
import { begin, ending, keyOf, setUpDesk } from "./desk.ts";
import { VirtualClock } from "./virtual-clock.ts";

const root = mkdtempSync(join(tmpdir(), "turnpike-model-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

type Mood = "well" | "throttles" | "resets before" | "resets after" | "denies";

/** The service as service.md has it: PENDING → READY or FAILED → REWARD_RECEIVED, idempotent by ClientToken. */
class Service implements LifecycleClient {
  /** How it takes the next calls; `well` once they are used up. */
  moods: Mood[] = [];
  readonly completed = new Map<string, string>();
  readonly rewarded = new Map<string, readonly number[]>();
  readonly #tokens = new Set<string>();

  completeRollout({ trajectoryId, status, clientToken }: CompleteRolloutInput) {
    return this.#answer(clientToken, () => {
      if (this.completed.has(trajectoryId)) throw refused("Cannot transition trajectory");
      this.completed.set(trajectoryId, status);
    });
  }

  updateReward({ trajectoryId, rewards, clientToken }: UpdateRewardInput) {
    return this.#answer(clientToken, () => {
      if (!this.completed.has(trajectoryId) || this.rewarded.has(trajectoryId)) {
        throw refused("Trajectory is not in valid status");
      }
      this.rewarded.set(trajectoryId, rewards);
    });
  }

  async #answer(token: string, apply: () => void): Promise<LifecycleResult> {
    const mood = this.moods.shift() ?? "well";
    await Promise.resolve();
    if (mood === "throttles") throw new GatewayError("service_throttled", "slow down");
    if (mood === "denies") throw new GatewayError("service_access_denied", "no");
    if (mood === "resets before") throw new GatewayError("upstream_reset", "reset");
    if (!this.#tokens.has(token)) apply();
    this.#tokens.add(token);
    if (mood === "resets after") throw new GatewayError("upstream_reset", "reset");
    return { requestId: undefined };
  }
}

function refused(message: string): GatewayError {
  return serviceError({ type: "ConflictException", status: 409, message, requestId: undefined });
}

interface Account {
  started: number;
  ended: number;
  startedAt: number;
}

/** What the test knows. */
interface Model {
  readonly turns: Map<string, Account>;
}

/** What the process and its surroundings are. */
class World {
  readonly clock = new VirtualClock();
  readonly service = new Service();
  /** Acceptances that were told to a caller. */
  readonly promised: Operation[] = [];
  readonly open: { readonly id: string; readonly turn: LedgerTurn }[] = [];
  desk: ReturnType<typeof setUpDesk>;
  #dir: string;
  #die: () => void = () => undefined;

  constructor() {
    this.#dir = mkdtempSync(join(root, "world-"));
    this.desk = this.#start();
  }

  crash(): void {
    const dead = this.#dir;
    this.#die();
    this.#dir = mkdtempSync(join(root, "world-"));
    cpSync(dead, this.#dir, { recursive: true });
    this.desk.ledger.store.close();
    this.open.length = 0;
    this.desk = this.#start();
    this.desk.delivery.resume();
  }

  /** A desk whose timers and calls end with it. */
  #start() {
    let isAlive = true;
    this.#die = () => {
      isAlive = false;
    };
    const { clock, service } = this;
    const never = new Promise<LifecycleResult>(() => undefined);
    const ifAlive = async (call: () => Promise<LifecycleResult>) => {
      const result = isAlive ? await call() : await never;
      return isAlive ? result : await never;
    };
    return setUpDesk({
      clock,
      schedule: (delayMs, run) => clock.schedule(delayMs, () => isAlive && run()),
      client: {
        completeRollout: (input: CompleteRolloutInput) =>
          ifAlive(() => service.completeRollout(input)),
        updateReward: (input: UpdateRewardInput) => ifAlive(() => service.updateReward(input)),
      } as never,
      ledger: { store: Store.open(this.#dir), maxInMemory: 2 },
    });
  }
}

type Step = fc.AsyncCommand<Model, World>;

class Turn implements Step {
  readonly id: string;
  readonly outcome: TurnOutcome | undefined;

  constructor(id: string, outcome: TurnOutcome | undefined) {
    this.id = id;
    this.outcome = outcome;
  }

  check = () => true;

  run(model: Model, world: World): Promise<void> {
    const { ledger } = world.desk;
    const rollout = ledger.open(keyOf(this.id));
    if (rollout.isSealed) {
      expect(() => begin(ledger, keyOf(this.id))).toThrow("takes no more turns");
      return Promise.resolve();
    }
    const turn = begin(ledger, keyOf(this.id));
    const account = model.turns.get(this.id) ?? { started: 0, ended: 0, startedAt: 0 };
    if (account.started === 0) account.startedAt = world.clock.now();
    account.started += 1;
    model.turns.set(this.id, account);
    expect(turn.number).toBeLessThanOrEqual(account.started);
    if (this.outcome === undefined) world.open.push({ id: this.id, turn });
    else {
      ledger.endTurn(turn, ending(this.outcome));
      account.ended += 1;
    }
    return Promise.resolve();
  }

  toString = () => `turn(${this.id}, ${this.outcome ?? "goes on"})`;
}

class EndTurn implements Step {
  check = () => true;

  run(model: Model, world: World): Promise<void> {
    const ended = world.open.shift();
    if (ended !== undefined) {
      world.desk.ledger.endTurn(ended.turn, ending("finished"));
      const account = model.turns.get(ended.id);
      if (account) account.ended += 1;
    }
    return Promise.resolve();
  }

  toString = () => "end of a turn";
}

class Say implements Step {
  readonly id: string;
  readonly status: "ready" | "failed" | undefined;
  readonly reward: number | undefined;

  constructor(id: string, status: "ready" | "failed" | undefined, reward: number | undefined) {
    this.id = id;
    this.status = status;
    this.reward = reward;
  }

  check = () => this.status !== undefined || this.reward !== undefined;

  async run(_model: Model, world: World): Promise<void> {
    const { id, status, reward } = this;
    const said = world.desk.lifecycle.submit(keyOf(id), {
      status,
      reward: reward === undefined ? undefined : { rewards: [reward], asked: String(reward) },
    });
    const [outcome] = await Promise.all([
      said.then(
        (accepted) => ({ accepted }),
        (error: unknown) => ({ error }),
      ),
      world.clock.advance(100),
    ]);
    if ("error" in outcome) {
      expect(outcome.error).toMatchObject({ code: "rollout_conflict" });
      return;
    }
    for (const operation of outcome.accepted.operations) {
      // Accepted twice is the same thing said twice.
      const before = world.promised.find((one) => sameKind(one, operation) && isStanding(one));
      if (before !== undefined) expect(operation.clientToken).toBe(before.clientToken);
      world.promised.push(operation);
    }
  }

  toString = () => `say(${this.id}, ${this.status}, ${this.reward})`;
}

class Pass implements Step {
  readonly ms: number;

  constructor(ms: number) {
    this.ms = ms;
  }

  check = () => true;
  run = (_model: Model, world: World): Promise<void> => world.clock.advance(this.ms);
  toString = () => `${this.ms} ms pass`;
}

class Trouble implements Step {
  readonly moods: Mood[];

  constructor(moods: Mood[]) {
    this.moods = moods;
  }

  check = () => true;

  run(_model: Model, world: World): Promise<void> {
    world.service.moods.push(...this.moods);
    return Promise.resolve();
  }

  toString = () => `the service ${this.moods.join(", ")}`;
}

class Crash implements Step {
  check = () => true;

  run(model: Model, world: World): Promise<void> {
    const now = world.clock.now();
    world.crash();
    for (const [id, account] of model.turns) {
      const rollout = world.desk.ledger.get(keyOf(id));
      if (rollout === undefined) {
        // Only one that had just begun is forgotten.
        expect(now - account.startedAt).toBeLessThanOrEqual(50);
        model.turns.delete(id);
        continue;
      }
      expect(rollout.inFlight).toBe(0);
      expect(rollout.started).toBeLessThanOrEqual(account.started);
      if (rollout.started < account.started) expect(rollout.countsMayBeShort).toBe(true);
      account.started = rollout.started;
      account.ended = rollout.started - rollout.interrupted;
    }
    return Promise.resolve();
  }

  toString = () => "SIGKILL";
}

function sameKind(one: Operation, other: Operation): boolean {
  return one.trajectoryId === other.trajectoryId && one.said.operation === other.said.operation;
}

/** Neither refused nor given up, as far as its own process knew. */
function isStanding(operation: Operation): boolean {
  return ["pending", "delivered", "already_done"].includes(operation.state);
}

/** The service is well again and time passes: everything promised has come to its end. */
async function checkPromises({ desk, clock, service, promised }: World): Promise<void> {
  service.moods = [];
  await clock.advance(700_000);
  for (const { trajectoryId, said, clientToken } of promised) {
    const { completion, reward, superseded } = desk.ledger.open(keyOf(trajectoryId));
    const kept = [completion, reward, ...superseded].find(
      (one) => one?.clientToken === clientToken,
    );
    expect(kept, "what was promised is on the account").toBeDefined();
    expect(kept?.state).not.toBe("pending");
    if (kept === undefined || kept.state === "refused") continue;
    expect(kept.state).not.toBe("expired");
    if (said.operation === "complete_rollout") {
      expect(service.completed.get(trajectoryId)).toBe(said.status);
    } else expect(service.rewarded.get(trajectoryId)).toEqual(said.rewards);
  }
}

const ids = fc.constantFrom("a", "b", "c", "d");
const mood = fc.constantFrom<Mood>(
  "throttles",
  "throttles",
  "resets before",
  "resets after",
  "resets after",
  "well",
  "denies",
);
const steps = [
  fc
    .tuple(ids, fc.constantFrom(undefined, "finished", "finished", "truncated" as const))
    .map(([id, outcome]) => new Turn(id, outcome as TurnOutcome | undefined)),
  fc.constant(new EndTurn()),
  fc
    .tuple(
      ids,
      fc.constantFrom("ready" as const, "ready" as const, "failed" as const, undefined),
      fc.constantFrom(undefined, 0, 1),
    )
    .map(([id, status, reward]) => new Say(id, status, reward)),
  fc.constantFrom(1, 20, 60, 1_500, 20_000).map((ms) => new Pass(ms)),
  fc.array(mood, { minLength: 1, maxLength: 4 }).map((moods) => new Trouble(moods)),
  fc.constant(new Crash()),
];

it("keeps every promise once, and every count or says that it may be short", async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(steps, { maxCommands: 40 }), async (commands) => {
      const world = new World();
      try {
        await fc.asyncModelRun(() => ({ model: { turns: new Map() }, real: world }), commands);
        await checkPromises(world);
      } finally {
        world.desk.ledger.store.close();
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);
