/**
 * `POST /rollouts`, the plain case `{id, job_arn?}`: makes a rollout known and tells its agent what to set. The
 * trainers' own dialects (service.md) are not read yet, so a body in one of them is refused rather than half
 * understood.
 */
import type { IncomingMessage } from "node:http";
import { GatewayError } from "../errors.ts";
import { jobArnHeader, rolloutKeyPrefix, trajectoryHeader } from "../identity/identify.ts";
import type { CheckJobArn } from "../identity/job-policy.ts";
import { checkPathTrajectoryId } from "../identity/trajectory-id.ts";
import type { Ledger, RolloutKey } from "../rollouts/ledger.ts";
import { fieldList, type JsonObject, readJsonObject } from "./read-json.ts";

export interface RegistrationSettings {
  readonly ledger: Ledger;
  /** The job of requests that name none. */
  readonly jobArn: string | null;
  readonly checkJob: CheckJobArn;
  /** The gateway's own URL as agents reach it, without a final slash. */
  readonly publicUrl: () => string;
  /** server.api_keys are set. */
  readonly asksForKey: boolean;
}

/** What an agent sets to have its calls captured. */
export interface RegisteredRollout {
  readonly id: string;
  readonly job_arn: string;
  /** Ends in `/v1`, as OPENAI_BASE_URL does. */
  readonly base_url: string;
  /** Names the rollout; `null` where turnpike asks for a key of its own: the agent keeps the one it has. */
  readonly api_key: string | null;
  readonly prompt: null;
  readonly inference_params: null;
  readonly env: Readonly<Record<string, string>>;
  /** Fields of the request that had no effect. */
  readonly ignored_fields: readonly string[];
}

export async function registerRollout(
  incoming: IncomingMessage,
  settings: RegistrationSettings,
): Promise<RegisteredRollout> {
  const body = await readJsonObject(incoming);
  refuseOtherSpellings(body);
  const trajectoryId = readId(body["id"]);
  const key = { trajectoryId, jobArn: readJob(body, incoming, settings) };
  settings.ledger.register(key);
  return describeRollout(key, settings, ignoredFields(body));
}

/** Each of them would name the rollout or its job if it were understood. */
const otherSpellings: Readonly<Record<string, string>> = {
  jobArn: "job_arn",
  job: "job_arn",
  trajectory_id: "id",
  trajectoryId: "id",
  rollout_id: "id",
  rolloutId: "id",
  metadata: "id` and `job_arn",
};

function refuseOtherSpellings(body: JsonObject): void {
  const stranger = Object.keys(body).find((name) => Object.hasOwn(otherSpellings, name));
  if (stranger === undefined) return;
  throw new GatewayError(
    "invalid_request",
    `The field \`${stranger}\` is not understood here; say \`${otherSpellings[stranger]}\`. The body is {"id": "<trajectory>", "job_arn": "arn:aws:sagemaker:…"}.`,
    { param: stranger },
  );
}

function readId(id: unknown): string {
  if (typeof id === "string") return checkPathTrajectoryId(id, "`id`");
  throw new GatewayError(
    "invalid_request",
    `\`id\` is ${id === undefined ? "missing" : "not a text"}; it must be the trajectory's id, a text of 1 to 256 characters.`,
    { param: "id" },
  );
}

/** The body's, else the header's, else the configured one; the first two must agree. */
function readJob(
  body: JsonObject,
  incoming: IncomingMessage,
  { jobArn: configured, checkJob }: RegistrationSettings,
): string {
  const named = body["job_arn"] ?? undefined;
  if (named !== undefined && typeof named !== "string") {
    throw new GatewayError("invalid_request", "`job_arn` is not a text; it must be a job ARN.", {
      param: "job_arn",
    });
  }
  const header = incoming.headers["x-amzn-sagemaker-job-arn"];
  const byBody = named === undefined ? undefined : checkJob(named, "`job_arn`");
  const byHeader =
    header === undefined ? undefined : checkJob(String(header), `the header ${jobArnHeader}`);
  if (byBody !== undefined && byHeader !== undefined && byBody !== byHeader) {
    throw new GatewayError(
      "conflicting_identity",
      `\`job_arn\` says ${byBody}, but the header ${jobArnHeader} says ${byHeader}. Leave one out.`,
      { param: "job_arn" },
    );
  }
  const jobArn = byBody ?? byHeader ?? configured;
  if (jobArn !== null) return jobArn;
  throw new GatewayError(
    "missing_identity",
    `No job is known for this rollout. Name it by \`job_arn\`, by the header ${jobArnHeader}, or by turnpike's own identity.job_arn (TURNPIKE_JOB_ARN).`,
    { param: "job_arn" },
  );
}

function ignoredFields(body: JsonObject): string[] {
  return Object.keys(body).filter((name) => name !== "id" && name !== "job_arn");
}

function describeRollout(
  { trajectoryId, jobArn }: RolloutKey,
  { publicUrl, asksForKey }: RegistrationSettings,
  ignored: readonly string[],
): RegisteredRollout {
  const baseUrl = `${publicUrl()}/rollouts/${encodeURIComponent(trajectoryId)}/v1`;
  const apiKey = asksForKey ? null : `${rolloutKeyPrefix}${trajectoryId}`;
  return {
    id: trajectoryId,
    job_arn: jobArn,
    base_url: baseUrl,
    api_key: apiKey,
    prompt: null,
    inference_params: null,
    env: {
      OPENAI_BASE_URL: baseUrl,
      // Left out where turnpike asks for a key, so that setting all of `env` keeps the agent's own.
      ...(apiKey === null ? {} : { OPENAI_API_KEY: apiKey }),
      OPENAI_CUSTOM_HEADERS: `${jobArnHeader}: ${jobArn}\n${trajectoryHeader}: ${trajectoryId}`,
    },
    ignored_fields: ignored.length > 20 ? [fieldList(ignored)] : ignored,
  };
}
