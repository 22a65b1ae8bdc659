/**
 * A rollout request in any of the dialects (service.md, "What the trainer sends to an agent") → one typed shape.
 * Strict about what names the rollout or would be enforced, tolerant of everything else, and every problem at once.
 */
import { hash } from "node:crypto";
import { GatewayError } from "../errors.ts";
import { jobArnHeader } from "../identity/identify.ts";
import type { CheckJobArn } from "../identity/job-policy.ts";
import { checkPathTrajectoryId } from "../identity/trajectory-id.ts";
import type { SamplingParameters } from "../openai/sampling.ts";
import type { Registration } from "../rollouts/rollout-notes.ts";
import { isObject, type JsonObject, kindOf, type Spellings, textOf, valueAt } from "./fields.ts";
import { readInferenceParams } from "./inference-params.ts";
import { Problems } from "./problems.ts";
import { type Prompt, readPrompt } from "./prompt.ts";
import { checkRequestedEndpoint } from "./requested-endpoint.ts";

export interface RolloutRequest {
  readonly trajectoryId: string;
  readonly jobArn: string;
  readonly prompt: Prompt | null;
  /** The SDK dialect's `instance`, as it came. */
  readonly instance: JsonObject | null;
  /** Empty where the trainer gave no inference parameters. */
  readonly sampling: SamplingParameters;
  /** The SDK dialect's `model_name`: for the agent to know, not enforced. */
  readonly model: string | null;
  /** Paths of what had no effect. */
  readonly ignoredFields: readonly string[];
}

export interface RequestContext {
  /** The job of requests that name none. */
  readonly jobArn: string | null;
  readonly checkJob: CheckJobArn;
  /** Where calls go: job_runtime.endpoint, or the simulator's. `null`: to the region's own host. */
  readonly endpoint: string | null;
  /** The request's own header for the job. */
  readonly jobArnHeader: string | undefined;
}

const idSpellings: Spellings = [
  "id",
  "metadata.trajectory_id",
  "metadata.trajectoryId",
  "metadata.rolloutId",
  "metadata.rollout_id",
  "trajectory_id",
  "trajectoryId",
  "rolloutId",
  "rollout_id",
];

const jobSpellings: Spellings = ["job_arn", "jobArn", "metadata.job_arn", "metadata.jobArn"];

/** Throws GatewayError: the one problem as it is, several as `invalid_request` with all of them. */
export function readRolloutRequest(body: JsonObject, context: RequestContext): RolloutRequest {
  const problems = new Problems();
  const { metadata } = body;
  if (metadata !== undefined && metadata !== null && !isObject(metadata)) {
    problems.invalid("metadata", `\`metadata\` is ${kindOf(metadata)}; it must be an object.`);
  }
  const trajectoryId = readId(body, problems);
  const jobArn = readJob(body, context, problems);
  checkRequestedEndpoint(body, { jobArn, endpoint: context.endpoint }, problems);
  const { sampling, ignored } = readInferenceParams(body, problems);
  const instance = readInstance(body, problems);
  const prompt = readPromptOf(body, instance, problems);
  const model = textOf(body, ["model_name", "modelName"], problems)?.value ?? null;
  problems.throwIfAny();
  return {
    // Both are there: what kept them from being read has been thrown.
    trajectoryId: trajectoryId ?? "",
    jobArn: jobArn ?? "",
    prompt,
    instance,
    sampling,
    model,
    ignoredFields: [...ignoredFields(body), ...ignored],
  };
}

/** What the ledger keeps of it. The fields that had no effect may differ when the trainer asks again. */
export function registrationOf(request: RolloutRequest): Registration {
  const { prompt, instance, sampling, model } = request;
  return { digest: hash("sha256", JSON.stringify([prompt, instance, sampling, model])), sampling };
}

function readId(body: JsonObject, problems: Problems): string | undefined {
  if (idSpellings.every((path) => valueAt(body, path) === undefined)) {
    problems.invalid(
      "id",
      "`id` is missing; it must be the trajectory's id, a text of 1 to 256 characters. It is understood as `id`, `metadata.trajectory_id`, `metadata.trajectoryId` and `metadata.rolloutId` too.",
    );
    return undefined;
  }
  const named = textOf(body, idSpellings, problems);
  if (named === undefined) return undefined;
  return problems.attempt(() => checkPathTrajectoryId(named.value, `\`${named.path}\``));
}

/** The body's, else the header's, else the configured one; the first two must agree. */
function readJob(
  body: JsonObject,
  { jobArnHeader: header, jobArn: configured, checkJob }: RequestContext,
  problems: Problems,
): string | undefined {
  const named = textOf(body, jobSpellings, problems);
  const byBody = named && problems.attempt(() => checkJob(named.value, `\`${named.path}\``));
  const byHeader =
    header === undefined
      ? undefined
      : problems.attempt(() => checkJob(header, `the header ${jobArnHeader}`));
  if (byBody !== undefined && byHeader !== undefined && byBody !== byHeader) {
    problems.add(
      new GatewayError(
        "conflicting_identity",
        `\`${named?.path}\` says ${byBody}, but the header ${jobArnHeader} says ${byHeader}. Leave one out.`,
        { param: "job_arn" },
      ),
    );
  }
  const isNamed =
    header !== undefined || jobSpellings.some((path) => valueAt(body, path) !== undefined);
  const jobArn = byBody ?? byHeader ?? (isNamed ? undefined : (configured ?? undefined));
  if (jobArn === undefined && !isNamed) problems.add(missingJob(body));
  return jobArn;
}

function missingJob(body: JsonObject): GatewayError {
  const jobId = valueAt(body, "metadata.jobId");
  const hint = jobId === undefined ? "" : " (`metadata.jobId` is no ARN, and says no region)";
  return new GatewayError(
    "missing_identity",
    `No job is known for this rollout${hint}. Name it by \`job_arn\` or \`metadata.jobArn\`, by the header ${jobArnHeader}, or by turnpike's own identity.job_arn (TURNPIKE_JOB_ARN).`,
    { param: "job_arn" },
  );
}

function readInstance(body: JsonObject, problems: Problems): JsonObject | null {
  const instance = valueAt(body, "instance");
  if (instance === undefined) return null;
  if (isObject(instance)) return instance;
  problems.invalid("instance", `\`instance\` is ${kindOf(instance)}; it must be an object.`);
  return null;
}

/** The request's own, else what the instance has under the usual names. */
function readPromptOf(
  body: JsonObject,
  instance: JsonObject | null,
  problems: Problems,
): Prompt | null {
  const given = valueAt(body, "prompt");
  if (given === undefined) {
    return readPrompt(instance?.["prompt"]) ?? readPrompt(instance?.["messages"]) ?? null;
  }
  const prompt = readPrompt(given);
  if (prompt !== undefined) return prompt;
  problems.invalid(
    "prompt",
    `\`prompt\` is ${kindOf(given)}; it must be a text or a list of messages, each with a \`role\`.`,
  );
  return null;
}

const knownFields: ReadonlySet<string> = new Set([
  ...idSpellings,
  ...jobSpellings,
  "prompt",
  "instance",
  "inference_params",
  "inferenceParams",
  "model_name",
  "modelName",
  "endpoint",
  "model_endpoint",
  "modelEndpoint",
  "region",
  "metadata",
  "metadata.endpoint",
  "metadata.model_endpoint",
  "metadata.region",
]);

function ignoredFields(body: JsonObject): string[] {
  const { metadata } = body;
  const inMetadata = isObject(metadata) ? Object.keys(metadata) : [];
  const all = [...Object.keys(body), ...inMetadata.map((name) => `metadata.${name}`)];
  return all.filter((path) => !knownFields.has(path));
}
