/**
 * The members of the four operations: where they travel and what they may be, refused with
 * ValidationException in the words AWS's services use.
 */
import type { IncomingHttpHeaders } from "node:http";
import { ServiceError } from "./service-error.ts";

/** The four modelled operations and the path of each [model]. */
export const operationPaths = {
  Sample: "/sample",
  SampleWithResponseStream: "/sample-with-response-stream",
  CompleteRollout: "/complete-rollout",
  UpdateReward: "/update-reward",
} as const;

export type Operation = keyof typeof operationPaths;
export type SampleOperation = "Sample" | "SampleWithResponseStream";
export type LifecycleOperation = "CompleteRollout" | "UpdateReward";

export type CompletionStatus = "ready" | "failed";

/** Which trajectory of which job a request is about. */
export interface TrajectoryKey {
  readonly jobArn: string;
  readonly trajectoryId: string;
}

export interface CompleteRolloutInput extends TrajectoryKey {
  readonly status: CompletionStatus;
  readonly clientToken?: string;
}

export interface UpdateRewardInput extends TrajectoryKey {
  readonly rewards: readonly number[];
  readonly clientToken?: string;
}

const jobArnPattern =
  /^arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:job\/[a-zA-Z0-9_-]+\/[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$/u;

/** Longest JobArn and TrajectoryId, in characters [model]. ClientToken takes the same bound [inferred]. */
const maxMemberChars = 256;

const jobArnHeader = "x-amzn-sagemaker-job-arn";
const trajectoryIdHeader = "x-amzn-sagemaker-trajectory-id";

/** The trajectory of a Sample request, from its two headers. */
export function sampleKey(headers: IncomingHttpHeaders): TrajectoryKey {
  return { jobArn: jobArn(headers), trajectoryId: checkedTrajectoryId(trajectoryIdFrom(headers)) };
}

/** A Sample's body: the raw OpenAI-format JSON [model]. That it is a JSON object is all that is asked of it. */
export function sampleBody(body: Buffer): Record<string, unknown> {
  const parsed = parsedObject(body);
  if (!Array.isArray(parsed["messages"])) {
    throw invalid("The request body must have 'messages', a list.");
  }
  return parsed;
}

export function completeRolloutInput(
  headers: IncomingHttpHeaders,
  body: Buffer,
): CompleteRolloutInput {
  const arn = jobArn(headers);
  const members = lifecycleMembers(headers, body);
  const status = members["Status"] ?? "ready";
  if (status !== "ready" && status !== "failed") {
    throw constraint(status, "status", "Member must satisfy enum value set: [ready, failed]");
  }
  const clientToken = stringMember(members, "ClientToken");
  return {
    jobArn: arn,
    trajectoryId: checkedTrajectoryId(stringMember(members, "TrajectoryId")),
    status,
    ...(clientToken === undefined ? {} : { clientToken }),
  };
}

export function updateRewardInput(headers: IncomingHttpHeaders, body: Buffer): UpdateRewardInput {
  const arn = jobArn(headers);
  const members = lifecycleMembers(headers, body);
  const clientToken = stringMember(members, "ClientToken");
  return {
    jobArn: arn,
    trajectoryId: checkedTrajectoryId(stringMember(members, "TrajectoryId")),
    rewards: rewardList(members["Rewards"]),
    ...(clientToken === undefined ? {} : { clientToken }),
  };
}

/** The trajectory a request seems to be about, before anything was checked: for matching faults only. */
export function apparentKey(headers: IncomingHttpHeaders, body: Buffer): TrajectoryKey {
  const jobArnValue = headers[jobArnHeader];
  let trajectoryId = trajectoryIdFrom(headers) ?? "";
  if (trajectoryId === "" && body.length < 64 * 1024) {
    try {
      const parsed: unknown = JSON.parse(body.toString("utf8"));
      if (isObject(parsed) && typeof parsed["TrajectoryId"] === "string") {
        trajectoryId = parsed["TrajectoryId"];
      }
    } catch {
      // Not JSON: the operation will say so; a fault that names a trajectory just does not match.
    }
  }
  return { jobArn: typeof jobArnValue === "string" ? jobArnValue : "", trajectoryId };
}

function jobArn(headers: IncomingHttpHeaders): string {
  const value = headers[jobArnHeader];
  if (typeof value !== "string" || value === "") throw missing("jobArn");
  if (value.length > maxMemberChars) {
    throw constraint(value, "jobArn", lengthRule("less", maxMemberChars));
  }
  if (!jobArnPattern.test(value)) {
    throw constraint(
      value,
      "jobArn",
      `Member must satisfy regular expression pattern: ${jobArnPattern.source.slice(1, -1)}`,
    );
  }
  return value;
}

/**
 * The header's bytes as UTF-8, nothing percent-decoded: an id means exactly the bytes that were sent.
 * Node hands out one character per byte, so the bytes are had back first.
 */
function trajectoryIdFrom(headers: IncomingHttpHeaders): string | undefined {
  const value = headers[trajectoryIdHeader];
  if (typeof value !== "string") return;
  const decoded = Buffer.from(value, "latin1").toString("utf8");
  return decoded.includes("\uFFFD") ? value : decoded;
}

function checkedTrajectoryId(value: string | undefined): string {
  if (value === undefined) throw missing("trajectoryId");
  // Code points, as the service counts characters.
  const chars = [...value].length;
  if (chars < 1) throw constraint(value, "trajectoryId", lengthRule("greater", 1));
  if (chars > maxMemberChars) {
    throw constraint(value, "trajectoryId", lengthRule("less", maxMemberChars));
  }
  return value;
}

function lifecycleMembers(headers: IncomingHttpHeaders, body: Buffer): Record<string, unknown> {
  const contentType = headers["content-type"];
  if (contentType !== undefined && !/^application\/json\s*(?:;|$)/iu.test(contentType)) {
    throw new ServiceError(
      "UnsupportedMediaTypeException",
      `Content-Type must be application/json, not '${contentType}'.`,
    );
  }
  return parsedObject(body);
}

function parsedObject(body: Buffer): Record<string, unknown> {
  if (body.length === 0) throw missing("body");
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString("utf8"));
  } catch (error) {
    throw new ServiceError("ValidationException", "The request body is not valid JSON.", {
      cause: error,
    });
  }
  if (!isObject(parsed)) throw invalid("The request body must be a JSON object.");
  return parsed;
}

/** A string member; JSON null counts as absent, as AWS's REST-JSON services take it. */
function stringMember(members: Record<string, unknown>, name: string): string | undefined {
  const value = members[name] ?? undefined;
  if (value === undefined) return;
  if (typeof value !== "string") throw invalid(`${name} must be a string, not ${jsonType(value)}.`);
  if (value === "" || [...value].length > maxMemberChars) {
    throw constraint(
      value,
      memberName(name),
      value === "" ? lengthRule("greater", 1) : lengthRule("less", maxMemberChars),
    );
  }
  return value;
}

/** Doubles, all finite. At least one, since an empty list says nothing to a trajectory [inferred]. */
function rewardList(value: unknown): readonly number[] {
  if (value === undefined || value === null) throw missing("rewards");
  if (!Array.isArray(value)) throw invalid(`Rewards must be a list, not ${jsonType(value)}.`);
  if (value.length === 0) throw constraint([], "rewards", lengthRule("greater", 1));
  return value.map((entry: unknown, index) => {
    if (typeof entry !== "number") {
      throw invalid(`Rewards[${index}] must be a number, not ${jsonType(entry)}.`);
    }
    // JSON has no NaN, but 1e999 parses to Infinity.
    if (!Number.isFinite(entry)) throw invalid(`Rewards[${index}] must be a finite number.`);
    return entry;
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function jsonType(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}

function memberName(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

function lengthRule(than: "greater" | "less", chars: number): string {
  return `Member must have length ${than} than or equal to ${chars}`;
}

function missing(member: string): ServiceError {
  return invalid(
    `1 validation error detected: Value null at '${member}' failed to satisfy constraint: Member must not be null`,
  );
}

function constraint(value: unknown, member: string, rule: string): ServiceError {
  const shown = String(typeof value === "string" ? value : JSON.stringify(value)).slice(0, 300);
  return invalid(
    `1 validation error detected: Value '${shown}' at '${member}' failed to satisfy constraint: ${rule}`,
  );
}

function invalid(message: string): ServiceError {
  return new ServiceError("ValidationException", message);
}
