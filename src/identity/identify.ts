/**
 * Request → job and trajectory (design.md, "Identity"). First match wins: path, header, API key, configured,
 * made for the run. Two ways of the request itself that disagree are an error; the configured trajectory is
 * only the default of requests that name none, so it disagrees with nothing.
 */
import type { IncomingHttpHeaders } from "node:http";
import { GatewayError } from "../errors.ts";
import { type CheckJobArn, createJobCheck } from "./job-policy.ts";
import { checkTrajectoryId, decodeTrajectoryId, quote } from "./trajectory-id.ts";

export type IdentitySource = "path" | "header" | "api-key" | "configured" | "made";

/** Validated: both parts may become headers as they are. */
export interface TurnIdentity {
  readonly jobArn: string;
  readonly trajectoryId: string;
  /** Which way named the trajectory. */
  readonly source: IdentitySource;
}

/** The parts of a request that can name a trajectory or a job. */
export interface IdentityRequest {
  /** The `{id}` of `/rollouts/{id}/…`, still percent-encoded. */
  readonly pathTrajectoryId: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** IncomingMessage.rawHeaders: with them a header that was sent twice is told from one with a comma in it. */
  readonly rawHeaders?: readonly string[];
}

export interface IdentitySettings {
  /** identity.job_arn: the job of requests that name none. */
  readonly jobArn: string | null;
  /** identity.trajectory_id: one rollout per pod. */
  readonly trajectoryId: string | null;
  /** identity.allowed_jobs; none means any. */
  readonly allowedJobs: readonly string[];
  /** `dev` only: the trajectory made for this run, for requests that name none. */
  readonly madeTrajectoryId: string | null;
  /** Whether server.api_keys are set: then the bearer token is a key that the guard checks and never names a trajectory. */
  readonly bearerIsKey: boolean;
  /** The job that a trajectory was registered for (`POST /rollouts`). */
  readonly registeredJobArn: (trajectoryId: string) => string | undefined;
}

/** Throws GatewayError `missing_identity`, `invalid_identity`, `conflicting_identity` or `job_not_allowed`. */
export type Identify = (request: IdentityRequest) => TurnIdentity;

export const trajectoryHeader = "X-Amzn-SageMaker-Trajectory-Id";
export const jobArnHeader = "X-Amzn-SageMaker-Job-Arn";
/** What an API key that names a trajectory begins with; the rest is the id, taken literally (no percent-decoding). */
export const rolloutKeyPrefix = "rollout-";

const bearerRollout = /^bearer +rollout-(.*)$/i;

/** Throws at once when a configured trajectory could never be sent. */
export function createIdentify(settings: IdentitySettings): Identify {
  const checkJob = createJobCheck(settings.allowedJobs, settings.jobArn);
  const fallback = fallbackTrajectory(settings);

  return (request) => {
    const named = namedTrajectory(request, settings.bearerIsKey) ?? fallback;
    if (named === undefined) throw missingTrajectory(settings.bearerIsKey);
    const jobArn = findJob({ request, settings, checkJob, trajectoryId: named.trajectoryId });
    return { jobArn, trajectoryId: named.trajectoryId, source: named.source };
  };
}

interface NamedTrajectory {
  readonly trajectoryId: string;
  readonly source: IdentitySource;
}

function fallbackTrajectory(settings: IdentitySettings): NamedTrajectory | undefined {
  const { trajectoryId, madeTrajectoryId } = settings;
  if (trajectoryId !== null) {
    checkTrajectoryId(trajectoryId, "identity.trajectory_id (TURNPIKE_TRAJECTORY_ID)");
    return { trajectoryId, source: "configured" };
  }
  return madeTrajectoryId === null ? undefined : { trajectoryId: madeTrajectoryId, source: "made" };
}

/** The trajectory the request itself names, if it does, the same in every way that it uses. */
function namedTrajectory(
  request: IdentityRequest,
  bearerIsKey: boolean,
): NamedTrajectory | undefined {
  const byPath = trajectoryOfPath(request.pathTrajectoryId);
  const byHeader = trajectoryOfHeader(request);
  const byKey = bearerIsKey ? undefined : trajectoryOfKey(request.headers.authorization);
  const first = byPath ?? byHeader ?? byKey;
  if (first === undefined) return undefined;
  // Each is compared with the first: agreement with it is agreement with all.
  for (const other of [byHeader, byKey]) {
    if (other !== undefined && other.trajectoryId !== first.trajectoryId) {
      throw conflictingTrajectories(first, other);
    }
  }
  return first;
}

function trajectoryOfPath(segment: string | undefined): NamedTrajectory | undefined {
  if (segment === undefined) return undefined;
  return { trajectoryId: decodeTrajectoryId(segment), source: "path" };
}

function trajectoryOfHeader(request: IdentityRequest): NamedTrajectory | undefined {
  const value = request.headers["x-amzn-sagemaker-trajectory-id"];
  if (value === undefined) return undefined;
  // Node joins repeated headers with ", ", which an id may contain as well.
  if (typeof value !== "string" || (value.includes(",") && isRepeated(request.rawHeaders))) {
    throw new GatewayError(
      "conflicting_identity",
      `The request carries ${trajectoryHeader} more than once (${quote(String(value))}); send it once.`,
      { param: "trajectory_id" },
    );
  }
  const where = `the header ${trajectoryHeader}`;
  return { trajectoryId: checkTrajectoryId(value, where), source: "header" };
}

function isRepeated(rawHeaders: readonly string[] | undefined): boolean {
  if (rawHeaders === undefined) return false;
  const name = trajectoryHeader.toLowerCase();
  return rawHeaders.filter((text, at) => at % 2 === 0 && text.toLowerCase() === name).length > 1;
}

function trajectoryOfKey(authorization: string | undefined): NamedTrajectory | undefined {
  // Other keys (`sk-anything`) are ignored: clients insist on having one.
  const trajectoryId = authorization === undefined ? null : bearerRollout.exec(authorization);
  if (trajectoryId === null) return undefined;
  const where = `the API key ${rolloutKeyPrefix}<trajectory>`;
  return { trajectoryId: checkTrajectoryId(trajectoryId[1] ?? "", where), source: "api-key" };
}

interface JobSearch {
  readonly request: IdentityRequest;
  readonly settings: IdentitySettings;
  readonly checkJob: CheckJobArn;
  readonly trajectoryId: string;
}

/** Header, else the registered rollout's, else the configured one. */
function findJob({ request, settings, checkJob, trajectoryId }: JobSearch): string {
  const header = request.headers["x-amzn-sagemaker-job-arn"];
  const registered = settings.registeredJobArn(trajectoryId);
  if (header !== undefined) {
    const byHeader = checkJob(String(header), `the header ${jobArnHeader}`);
    if (registered === undefined || registered === byHeader) return byHeader;
    throw new GatewayError(
      "conflicting_identity",
      `The header ${jobArnHeader} says ${byHeader}, but the rollout ${quote(trajectoryId)} was registered for ${registered}. Leave the header out, or use another trajectory id.`,
      { param: "job_arn" },
    );
  }
  const jobArn = registered ?? settings.jobArn;
  if (jobArn === null) throw missingJob(trajectoryId);
  return jobArn;
}

const ways: Readonly<Record<IdentitySource, string>> = {
  path: "the base URL's path",
  header: `the header ${trajectoryHeader}`,
  "api-key": "the API key",
  configured: "the configuration",
  made: "turnpike dev",
};

function conflictingTrajectories(first: NamedTrajectory, other: NamedTrajectory): GatewayError {
  return new GatewayError(
    "conflicting_identity",
    `The request names two trajectories: ${quote(first.trajectoryId)} in ${ways[first.source]} and ${quote(other.trajectoryId)} in ${ways[other.source]}. Leave one out, or make them the same.`,
    { param: "trajectory_id" },
  );
}

function missingTrajectory(bearerIsKey: boolean): GatewayError {
  const list = [
    "the base URL, OPENAI_BASE_URL=http://<turnpike>/rollouts/<trajectory>/v1",
    `the header ${trajectoryHeader}`,
    ...(bearerIsKey ? [] : [`the API key, OPENAI_API_KEY=${rolloutKeyPrefix}<trajectory>`]),
    "turnpike's own identity.trajectory_id (TURNPIKE_TRAJECTORY_ID) where there is one rollout per pod",
  ];
  return new GatewayError(
    "missing_identity",
    `This request names no trajectory. Name it in one of these ways: ${list.join("; ")}.`,
    { param: "trajectory_id" },
  );
}

function missingJob(trajectoryId: string): GatewayError {
  return new GatewayError(
    "missing_identity",
    `No job is known for the trajectory ${quote(trajectoryId)}. Name it in one of these ways: the header ${jobArnHeader}; \`job_arn\` when registering the rollout (POST /rollouts); turnpike's own identity.job_arn (TURNPIKE_JOB_ARN).`,
    { param: "job_arn" },
  );
}
