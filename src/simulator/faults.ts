/** Which faults a request gets: the rules in force, matched in order, with their own seeded chance. */
import {
  answerKinds,
  checkFaultRules,
  type FaultKind,
  type FaultOf,
  type FaultRule,
  streamKinds,
} from "./fault-rules.ts";
import type { Operation, TrajectoryKey } from "./members.ts";

interface ArmedRule {
  readonly rule: FaultRule;
  readonly matchesTrajectory: (id: string) => boolean;
  readonly matchesJob: (arn: string) => boolean;
  readonly random: () => number;
  matched: number;
  injected: number;
}

/** What a rule is matched against. */
export interface FaultTarget extends TrajectoryKey {
  readonly operation: Operation;
}

/** The faults one request gets, at most one of each kind: the first whose rule matched. */
export class FaultPlan {
  readonly #faults = new Map<FaultKind, FaultRule>();

  constructor(faults: Iterable<FaultRule> = []) {
    for (const fault of faults) {
      if (!this.#faults.has(fault.kind)) this.#faults.set(fault.kind, fault);
    }
  }

  get<Kind extends FaultKind>(kind: Kind): FaultOf<Kind> | undefined {
    return this.#faults.get(kind) as FaultOf<Kind> | undefined;
  }

  /** The answer to give instead of the operation's, if any. */
  get answer(): FaultRule | undefined {
    return [...this.#faults.values()].find((fault) => answerKinds.has(fault.kind));
  }
}

export class Faults {
  readonly #seed: number;
  #armed: readonly ArmedRule[] = [];

  /** Throws when a rule is not one. The seed decides which requests a probability hits. */
  constructor(rules: unknown, seed: number) {
    this.#seed = seed;
    this.set(rules);
  }

  /** Puts these rules in force in place of the former; their counts and chances start anew. */
  set(rules: unknown): void {
    this.#armed = checkFaultRules(rules).map((rule, index) => ({
      rule,
      matchesTrajectory: globMatcher(rule.trajectory),
      matchesJob: globMatcher(rule.job),
      // Each rule has its own generator, so that adding one does not change what the others hit.
      random: seededRandom(this.#seed + index),
      matched: 0,
      injected: 0,
    }));
  }

  /** The rules in force, with how often each matched and was handed out. */
  list(): readonly (FaultRule & { readonly matched: number; readonly injected: number })[] {
    return this.#armed.map(({ rule, matched, injected }) => ({ ...rule, matched, injected }));
  }

  /** The service's clock error for this request; asked before its signature is checked. */
  takeClockSkew(target: FaultTarget): FaultPlan {
    return this.#take(target, (kind) => kind === "clock-skew");
  }

  /** Everything else, once the request is known to be good. */
  take(target: FaultTarget): FaultPlan {
    return this.#take(target, (kind) => kind !== "clock-skew");
  }

  #take(target: FaultTarget, isWanted: (kind: FaultKind) => boolean): FaultPlan {
    const taken: FaultRule[] = [];
    let isAnswered = false;
    for (const armed of this.#armed) {
      const { kind } = armed.rule;
      // A second answer could not be given; it keeps its turn for a later request.
      const isMoot = answerKinds.has(kind) && isAnswered;
      if (isMoot || !isWanted(kind) || !isHit(armed, target)) continue;
      taken.push(armed.rule);
      isAnswered ||= answerKinds.has(kind);
    }
    return new FaultPlan(taken);
  }
}

function isHit(armed: ArmedRule, target: FaultTarget): boolean {
  const { rule } = armed;
  const isForOperation =
    (rule.operations?.includes(target.operation) ?? true) &&
    (target.operation === "SampleWithResponseStream" || !streamKinds.has(rule.kind));
  const isMatch =
    isForOperation &&
    armed.matchesTrajectory(target.trajectoryId) &&
    armed.matchesJob(target.jobArn);
  if (!isMatch || armed.injected >= (rule.times ?? Number.POSITIVE_INFINITY)) return false;
  armed.matched += 1;
  if (armed.matched <= (rule.after ?? 0)) return false;
  if (armed.random() >= (rule.probability ?? 1)) return false;
  armed.injected += 1;
  return true;
}

function globMatcher(glob: string | undefined): (text: string) => boolean {
  if (glob === undefined) return () => true;
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/gu, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  const expression = new RegExp(`^${pattern}$`, "su");
  return (text) => text === glob || expression.test(text);
}

/** mulberry32: small, well mixed, and the same on every machine. Numbers in [0, 1). */
function seededRandom(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
