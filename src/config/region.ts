/** Which region calls go to, as far as the configuration alone can tell. */
import { jobArnRegion } from "../job-arn.ts";
import type { LoadedConfig } from "./load.ts";
import type { Config } from "./schema.ts";

/** The region calls go to where a request names no job of its own. */
export function regionOf({ job_runtime, identity }: Config): string | undefined {
  if (job_runtime.region !== null) return job_runtime.region;
  return identity.job_arn === null ? undefined : jobArnRegion(identity.job_arn);
}

/** What to say about it and what to do. */
export interface RegionMismatch {
  readonly text: string;
  readonly advice: string;
}

/**
 * The configured region wins over the job ARN's. In a pod AWS_REGION is the cluster's, set by others, so
 * the difference deserves a word.
 */
export function regionMismatch({ config, sources }: LoadedConfig): RegionMismatch | undefined {
  const { region } = config.job_runtime;
  const jobArn = config.identity.job_arn;
  const jobRegion = jobArn === null ? undefined : jobArnRegion(jobArn);
  if (region === null || jobRegion === undefined || jobRegion === region) return undefined;
  const source = sources.get("job_runtime.region") ?? "configuration";
  return {
    text: `calls go to ${region} (${source}), but the job ${jobArn} is in ${jobRegion}`,
    advice: `Set TURNPIKE_REGION=${jobRegion} if that is not meant.`,
  };
}
