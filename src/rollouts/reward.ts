/**
 * What a caller says of a reward → what UpdateReward takes. The API's text asks for one value per turn, the SDK
 * sends a scalar as `[r]` whatever the number of turns (service.md, "Lifecycle"): so a scalar goes out as `[r]`
 * unless a shape is asked for, and a vector as it is, once its length fits the turns that the ledger saw.
 */
import { GatewayError } from "../errors.ts";
import type { CapturedTurns } from "./rollout.ts";

const shapes = ["scalar", "last", "broadcast"] as const;
export type RewardShape = (typeof shapes)[number];

export type RewardStatement =
  | { readonly reward: number; readonly shape: RewardShape }
  | { readonly rewards: readonly number[] };

/** The fields as a caller's JSON has them. */
export interface RewardFields {
  readonly reward?: unknown;
  readonly rewards?: unknown;
  readonly shape?: unknown;
}

/** Throws `invalid_reward` for anything but one finite number or a non-empty list of them. */
export function parseReward({ reward, rewards, shape }: RewardFields): RewardStatement {
  if (reward !== undefined && rewards !== undefined) {
    throw invalid("Give either `reward` (a number) or `rewards` (a list of numbers), not both.");
  }
  if (reward !== undefined) return { reward: finite(reward, "reward"), shape: parseShape(shape) };
  if (rewards === undefined) {
    throw invalid("Give `reward` (a finite number) or `rewards` (a list of finite numbers).");
  }
  if (shape !== undefined) {
    throw invalid("`shape` says how a single `reward` is spread; `rewards` are sent as they are.");
  }
  if (!Array.isArray(rewards) || rewards.length === 0) {
    throw invalid(
      `\`rewards\` is ${describe(rewards)}; it must be a list of at least one finite number, one per turn.`,
    );
  }
  return { rewards: rewards.map((value, at) => finite(value, `rewards[${at}]`)) };
}

/**
 * The numbers to send. `turns` is `undefined` where the ledger cannot know them: a vector then goes out
 * unchecked, and a shape that needs their number is refused.
 */
export function shapeRewards(
  statement: RewardStatement,
  turns: CapturedTurns | undefined,
): readonly number[] {
  if ("rewards" in statement) return checkCount(statement.rewards, turns);
  const { reward, shape } = statement;
  if (shape === "scalar") return [reward];
  const count = turnsFor(shape, turns);
  return shape === "broadcast"
    ? Array<number>(count).fill(reward)
    : [...Array<number>(count - 1).fill(0), reward];
}

function checkCount(
  rewards: readonly number[],
  turns: CapturedTurns | undefined,
): readonly number[] {
  if (turns === undefined) return rewards;
  const { finished, uncertain } = turns;
  if (rewards.length >= finished && rewards.length <= finished + uncertain) return rewards;
  const doubt = uncertain === 0 ? "" : `, and ${uncertain} more that may have been captured`;
  throw new GatewayError(
    "reward_count_mismatch",
    `\`rewards\` has ${counted(rewards.length, "value")}, but turnpike saw ${counted(finished, "finished turn")} in this rollout${doubt}. Give one value per turn, or a single \`reward\`.`,
    { param: "rewards" },
  );
}

function turnsFor(shape: RewardShape, turns: CapturedTurns | undefined): number {
  if (turns !== undefined && turns.finished > 0) return turns.finished;
  const why = turns === undefined ? "turnpike does not know how many" : "this rollout has none";
  throw invalid(
    `The shape \`${shape}\` needs the number of finished turns, and ${why}. Send \`rewards\` with one value per turn, or \`reward\` with the shape \`scalar\`.`,
    "shape",
  );
}

function parseShape(shape: unknown): RewardShape {
  if (shape === undefined) return "scalar";
  const known = shapes.find((name) => name === shape);
  if (known !== undefined) return known;
  throw invalid(
    `\`shape\` is ${describe(shape)}; it must be "scalar" (one value for the trajectory, the default), "last" (zeros, then the value at the last turn) or "broadcast" (the value at every turn).`,
    "shape",
  );
}

function finite(value: unknown, field: string): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw invalid(`\`${field}\` is ${describe(value)}; it must be a finite number.`, field);
}

/** Short: what a caller sent by mistake may be anything. */
function describe(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "number") return `${value}`;
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "string") return `the text ${JSON.stringify(value.slice(0, 40))}`;
  return "an object";
}

function invalid(message: string, param = "reward"): GatewayError {
  return new GatewayError("invalid_reward", message, { param });
}

function counted(count: number, noun: string): string {
  return count === 1 ? `${count} ${noun}` : `${count} ${noun}s`;
}
