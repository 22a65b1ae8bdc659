/** Where the reward of an agent that ended well comes from. */
import { readFile } from "node:fs/promises";
import { GatewayError } from "../errors.ts";
import { type AgentExit, AgentProcess } from "./agent-process.ts";
import { rewardOfText, rewardOfValue, type StatedReward } from "./reward-text.ts";

export type RewardSource =
  | { readonly kind: "number"; readonly reward: number }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "stdout" }
  /** For `sh -c`; gets the trajectory as JSON on its standard input. */
  | { readonly kind: "command"; readonly command: string };

export interface RewardContext {
  readonly exit: AgentExit;
  /** What a reward command reads; asked only where there is one. */
  readonly trajectory: () => Promise<object>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Of a reward command, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  /** A reward command's standard error is kept in place of passed on. */
  readonly quiet?: boolean;
}

/** Throws GatewayError `invalid_reward` that says what was there instead. */
export async function readReward(
  source: RewardSource,
  context: RewardContext,
): Promise<StatedReward> {
  switch (source.kind) {
    case "number":
      return rewardOfValue(source.reward, "--reward");
    case "file":
      return rewardOfText(await textOf(source.path), source.path);
    case "stdout":
      return rewardOfText(context.exit.output, "the agent's output");
    case "command":
      return await rewardOfCommand(source.command, context);
  }
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : "unknown";
    throw new GatewayError("invalid_reward", `The reward's file cannot be read: ${reason}.`, {
      cause,
      param: "reward",
    });
  }
}

async function rewardOfCommand(
  command: string,
  { trajectory, environment, timeoutMs, quiet }: RewardContext,
): Promise<StatedReward> {
  const agent = new AgentProcess({
    command: ["/bin/sh", "-c", command],
    environment,
    input: `${JSON.stringify(await trajectory())}\n`,
    output: "keep",
    ...(quiet === true ? { errors: "keep" } : {}),
    timeoutMs,
    graceMs: 1_000,
  });
  const { code, timedOut, output } = await agent.exited;
  if (timedOut || code !== 0) {
    throw new GatewayError(
      "invalid_reward",
      `The reward command ${timedOut ? "was ended at its deadline" : `exited with ${code}`}; it must print the reward and exit with 0.`,
      { param: "reward" },
    );
  }
  return rewardOfText(output, "the reward command's output");
}
