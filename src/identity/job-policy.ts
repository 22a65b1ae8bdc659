/** Which jobs a request may name. */
import { GatewayError } from "../errors.ts";
import { exampleJobArn, isJobArn } from "../job-arn.ts";
import { quote } from "./trajectory-id.ts";

/** The ARN, or `invalid_identity` / `job_not_allowed` that names `where` it stood. */
export type CheckJobArn = (jobArn: string, where: string) => string;

/**
 * With no `allowedJobs` any job ARN passes. The configured job always does: the operator named it.
 * The last ARN that passed is remembered, since one job's turns come in a row.
 */
export function createJobCheck(
  allowedJobs: readonly string[],
  configuredJob: string | null,
): CheckJobArn {
  const allowed = new Set(allowedJobs);
  if (allowed.size > 0 && configuredJob !== null) allowed.add(configuredJob);
  let lastPassed: string | undefined;

  return (jobArn, where) => {
    if (jobArn === lastPassed) return jobArn;
    if (!isJobArn(jobArn)) {
      throw new GatewayError(
        "invalid_identity",
        `The job ARN in ${where}, ${quote(jobArn)}, is not one; a job ARN looks like ${exampleJobArn}.`,
        { param: "job_arn" },
      );
    }
    if (allowed.size > 0 && !allowed.has(jobArn)) {
      throw new GatewayError(
        "job_not_allowed",
        `The job in ${where}, ${jobArn}, is not one of those this turnpike serves (identity.allowed_jobs, TURNPIKE_ALLOWED_JOBS). Name one that is listed, or have its operator add this one.`,
        { param: "job_arn" },
      );
    }
    lastPassed = jobArn;
    return jobArn;
  };
}
