/** `POST /rollouts`: a rollout request in any dialect makes the rollout known and tells its agent what to set. */
import type { IncomingMessage } from "node:http";
import type { CheckJobArn } from "../identity/job-policy.ts";
import { agentEnvironment, shellExports } from "../rollout-requests/agent-environment.ts";
import type { JsonObject } from "../rollout-requests/fields.ts";
import type { Prompt } from "../rollout-requests/prompt.ts";
import {
  type RolloutRequest,
  readRolloutRequest,
  registrationOf,
} from "../rollout-requests/rollout-request.ts";
import type { Ledger } from "../rollouts/ledger.ts";
import { type InferenceParamsView, viewSampling } from "../rollouts/rollout-notes.ts";
import { fieldList, readJsonObject } from "./read-json.ts";

export interface RegistrationSettings {
  readonly ledger: Ledger;
  /** The job of requests that name none. */
  readonly jobArn: string | null;
  readonly checkJob: CheckJobArn;
  /** Where calls go when not to the region's own host; the only other endpoint a request may name. */
  readonly endpoint?: string | null | undefined;
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
  /** A text, or a conversation as messages, also where it came as JSON in a text. */
  readonly prompt: Prompt | null;
  /** The SDK dialect's, as it came. */
  readonly instance: JsonObject | null;
  readonly inference_params: InferenceParamsView | null;
  /** The SDK dialect's `model_name`. */
  readonly model: string | null;
  readonly env: Readonly<Record<string, string>>;
  /** `env` as lines for a shell. */
  readonly shell: string;
  /** Paths of the request's fields that had no effect. */
  readonly ignored_fields: readonly string[];
}

/** A prompt is a conversation at times, so more than the other rollout routes take. */
export const maxRolloutRequestBytes = 4_194_304;

export async function registerRollout(
  incoming: IncomingMessage,
  settings: RegistrationSettings,
): Promise<RegisteredRollout> {
  const body = await readJsonObject(incoming, maxRolloutRequestBytes);
  return registerRequest(readRequest(body, incoming, settings), settings);
}

/** Throws GatewayError with every problem of the request. */
export function readRequest(
  body: JsonObject,
  incoming: IncomingMessage,
  { jobArn, checkJob, endpoint }: RegistrationSettings,
): RolloutRequest {
  const header = incoming.headers["x-amzn-sagemaker-job-arn"];
  return readRolloutRequest(body, {
    jobArn,
    checkJob,
    endpoint: endpoint ?? null,
    jobArnHeader: header === undefined ? undefined : String(header),
  });
}

/** The same request again gives the same answer; another one under the same id throws `rollout_conflict`. */
export function registerRequest(
  request: RolloutRequest,
  { ledger, publicUrl, asksForKey }: RegistrationSettings,
): RegisteredRollout {
  const { trajectoryId, jobArn, sampling, ignoredFields: ignored } = request;
  ledger.register({ trajectoryId, jobArn }, registrationOf(request));
  const agent = agentEnvironment({ trajectoryId, jobArn }, { url: publicUrl(), asksForKey });
  return {
    id: trajectoryId,
    job_arn: jobArn,
    base_url: agent.baseUrl,
    api_key: agent.apiKey,
    prompt: request.prompt,
    instance: request.instance,
    inference_params: viewSampling(sampling),
    model: request.model,
    env: agent.variables,
    shell: shellExports(agent.variables),
    ignored_fields: ignored.length > 20 ? [fieldList(ignored)] : ignored,
  };
}
