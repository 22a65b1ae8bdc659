/** The command line of `exec` → what to run, as which rollout, for which reward; or every mistake in it at once. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { ConfigError, type ConfigProblem } from "../config/config-error.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { OnFailure } from "../exec/agent-conclusion.ts";
import type { RewardSource } from "../exec/reward-source.ts";
import type { ExecOptions } from "../exec/run-rollout.ts";
import { isObject, type JsonObject } from "../rollout-requests/fields.ts";
import type { CommandContext } from "./command.ts";

export interface ExecArguments extends ExecOptions {
  readonly simulate: boolean;
  readonly gatewayUrl: string | undefined;
}

/** Throws ConfigError. `readInput` reads all of standard input. */
export function readExecArguments(
  { options, operands, flags }: CommandContext,
  { config }: LoadedConfig,
  readInput: () => string,
): ExecArguments {
  const problems: ConfigProblem[] = [];
  const simulate = options["simulate"] === true;
  const gatewayUrl = textOf(options["gateway"]);
  if (operands.length === 0) {
    problems.push({ key: "COMMAND", message: "is missing: turnpike exec [options] -- COMMAND…" });
  }
  if (simulate && gatewayUrl !== undefined) {
    problems.push({
      key: "--simulate",
      message: "starts a gateway of its own: leave --gateway out",
    });
  }
  if (gatewayUrl !== undefined && !/^https?:$/.test(URL.parse(gatewayUrl)?.protocol ?? "")) {
    problems.push({
      key: "--gateway",
      message: `must be an http or https URL, not ${JSON.stringify(gatewayUrl)}`,
    });
  }
  const onFailure = onFailureOf(options["onFailure"], problems);
  const reward = rewardOf(options, problems);
  const timeoutMs = timeoutOf(options["timeout"], problems);
  const request = requestOf(options["request"], { problems, readInput });
  const named = request ?? namedRollout({ config, simulate, gatewayUrl, problems });
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    command: operands,
    request: request === undefined ? named : withFlags(request, flags),
    reward,
    onFailure,
    timeoutMs,
    simulate,
    gatewayUrl,
  };
}

function textOf(value: string | true | undefined): string | undefined {
  return value === true ? undefined : value;
}

function onFailureOf(value: string | true | undefined, problems: ConfigProblem[]): OnFailure {
  if (value === undefined || value === "ready") return "ready";
  if (value === "failed" || value === "leave") return value;
  problems.push({
    key: "--on-failure",
    message: `must be one of ready, failed, leave, not ${JSON.stringify(value)}`,
  });
  return "ready";
}

type Options = CommandContext["options"];

function rewardOf(options: Options, problems: ConfigProblem[]): RewardSource | undefined {
  const names = ["reward", "rewardFile", "rewardCommand", "rewardFrom"] as const;
  const given = names.filter((name) => options[name] !== undefined);
  if (given.length > 1) {
    problems.push({
      key: "--reward",
      message: "give one of --reward, --reward-file, --reward-command and --reward-from",
    });
  }
  const [name] = given;
  const text = name === undefined ? undefined : textOf(options[name]);
  if (text === undefined) return undefined;
  if (name === "rewardFile") return { kind: "file", path: text };
  if (name === "rewardCommand") return { kind: "command", command: text };
  if (name === "rewardFrom") {
    if (text !== "stdout")
      problems.push({
        key: "--reward-from",
        message: `must be stdout, not ${JSON.stringify(text)}`,
      });
    return { kind: "stdout" };
  }
  const reward = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isFinite(reward)) {
    problems.push({
      key: "--reward",
      message: `must be a finite number, not ${JSON.stringify(text)}`,
    });
  }
  return { kind: "number", reward };
}

/** A timer of node's takes no longer one. */
const maxTimeoutSeconds = 2_000_000;

function timeoutOf(
  value: string | true | undefined,
  problems: ConfigProblem[],
): number | undefined {
  if (value === undefined) return undefined;
  const seconds = Number(value);
  if (seconds > 0 && seconds <= maxTimeoutSeconds) return seconds * 1_000;
  problems.push({
    key: "--timeout",
    message: `must be a number of seconds up to ${maxTimeoutSeconds}, not ${JSON.stringify(value)}`,
  });
  return undefined;
}

interface RequestSource {
  readonly problems: ConfigProblem[];
  readonly readInput: () => string;
}

function requestOf(
  value: string | true | undefined,
  { problems, readInput }: RequestSource,
): JsonObject | undefined {
  const path = textOf(value);
  if (path === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(path === "-" ? readInput() : readFileSync(path, "utf8"));
    if (isObject(parsed)) return parsed;
    problems.push({ key: "--request", message: `${path} is not a JSON object` });
  } catch (error) {
    const why = error instanceof SyntaxError ? "is not JSON" : String((error as Error).message);
    problems.push({ key: "--request", message: `${path}: ${why}` });
  }
  return {};
}

interface Naming {
  readonly config: LoadedConfig["config"];
  readonly simulate: boolean;
  readonly gatewayUrl: string | undefined;
  readonly problems: ConfigProblem[];
}

/** Without a request: the rollout as flags, variables or the file name it. */
function namedRollout({ config, simulate, gatewayUrl, problems }: Naming): JsonObject {
  const { job_arn: jobArn, trajectory_id: given } = config.identity;
  const id = given ?? (simulate ? `exec-${randomBytes(4).toString("hex")}` : null);
  if (id === null) {
    problems.push({
      key: "--trajectory-id",
      message:
        "is missing: name the rollout by --trajectory-id or --request, or try it with --simulate",
    });
  }
  // Another gateway may have a job configured.
  if (jobArn === null && !simulate && gatewayUrl === undefined) {
    problems.push({
      key: "--job-arn",
      message: "is missing: name the job by --job-arn or --request, or try it with --simulate",
    });
  }
  return { id, ...(jobArn === null ? {} : { job_arn: jobArn }) };
}

/** What the command line says beside a request must agree with it: the gateway tells where it does not. */
function withFlags(request: JsonObject, flags: CommandContext["flags"]): JsonObject {
  const id = flags["identity.trajectory_id"]?.text;
  const jobArn = flags["identity.job_arn"]?.text;
  return {
    ...request,
    ...(id === undefined || request["id"] !== undefined ? {} : { id }),
    ...(jobArn === undefined || request["job_arn"] !== undefined ? {} : { job_arn: jobArn }),
  };
}
