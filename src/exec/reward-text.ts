/** Rewards as programs say them: the last line that is JSON, a number or `{"reward": …}` or `{"rewards": […]}`. */
import { GatewayError } from "../errors.ts";
import { isObject, type JsonObject } from "../rollout-requests/fields.ts";
import { parseReward, type RewardFields } from "../rollouts/reward.ts";

/** Of an answer: what UpdateReward and CompleteRollout are told. */
export interface StatedReward {
  /** Checked: parseReward takes it. */
  readonly reward: RewardFields;
  readonly status: "ready" | "failed";
}

/** `where` names the text in the error. Throws `invalid_reward`. */
export function rewardOfText(text: string, where: string): StatedReward {
  const lines = text.split("\n").map((line) => line.trim());
  const last = lines.findLast((line) => isReward(parsed(line)));
  if (last !== undefined) return rewardOfValue(parsed(last), where);
  // A file may be one JSON document over several lines.
  const whole = parsed(text.trim());
  if (isReward(whole)) return rewardOfValue(whole, where);
  const shown = lines.findLast((line) => line !== "") ?? "";
  throw new GatewayError(
    "invalid_reward",
    `No reward in ${where}: no line of it is a number, {"reward": …} or {"rewards": […]}${shown === "" ? "; it is empty" : `. The last line is ${JSON.stringify(shown.slice(0, 100))}`}.`,
    { param: "reward" },
  );
}

/** The same of a value. Other members of an object are no concern of ours. Throws `invalid_reward`. */
export function rewardOfValue(value: unknown, where: string): StatedReward {
  const object: JsonObject = isObject(value) ? value : { reward: value };
  const { reward, rewards, shape, status = "ready" } = object;
  if (status !== "ready" && status !== "failed") {
    throw new GatewayError(
      "invalid_reward",
      `\`status\` in ${where} is ${JSON.stringify(status).slice(0, 60)}; it must be "ready" or "failed".`,
      { param: "status" },
    );
  }
  const fields: RewardFields = {
    ...(reward === undefined ? {} : { reward }),
    ...(rewards === undefined ? {} : { rewards }),
    ...(shape === undefined ? {} : { shape }),
  };
  // A rollout that failed need not have a reward.
  if (status === "failed" && reward === undefined && rewards === undefined) {
    return { reward: {}, status };
  }
  try {
    parseReward(fields);
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown;
    throw new GatewayError(
      "invalid_reward",
      `The reward in ${where} cannot be used. ${thrown.message}`,
      {
        cause: thrown,
        param: "reward",
      },
    );
  }
  return { reward: fields, status };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isReward(value: unknown): boolean {
  if (typeof value === "number") return true;
  return isObject(value) && ("reward" in value || "rewards" in value);
}
