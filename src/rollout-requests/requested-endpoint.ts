/**
 * An endpoint that came with a rollout request is never used: calls to it would carry this process's credentials
 * (clients.md, "Security precedents"). One that is not where turnpike would call anyway is refused, so that nobody
 * believes it was honoured.
 */

import { quote } from "../identity/trajectory-id.ts";
import { jobArnRegion } from "../job-arn.ts";
import { isServiceHost, resolveEndpoint } from "../job-runtime/endpoint.ts";
import { type JsonObject, textOf } from "./fields.ts";
import type { Problems } from "./problems.ts";

export interface EndpointContext {
  /** `undefined` where the request's job is not known or no ARN. */
  readonly jobArn: string | undefined;
  /** job_runtime.endpoint, or the simulator's. */
  readonly endpoint: string | null;
}

const spellings = [
  "metadata.endpoint",
  "endpoint",
  "model_endpoint",
  "modelEndpoint",
  "metadata.model_endpoint",
] as const;

export function checkRequestedEndpoint(
  body: JsonObject,
  { jobArn, endpoint }: EndpointContext,
  problems: Problems,
): void {
  const region = jobArn === undefined ? undefined : jobArnRegion(jobArn);
  for (const spelling of spellings) {
    const named = textOf(body, [spelling], problems);
    if (named === undefined || isAcceptable(named.value, region, endpoint)) continue;
    const own =
      region === undefined ? "" : ` for ${region}, ${resolveEndpoint({ region }).origin},`;
    const configured = endpoint === null ? "" : ` and not the configured one, ${endpoint}`;
    problems.invalid(
      named.path,
      `\`${named.path}\` is ${quote(named.value)}, which is not the service's own host${own}${configured}: calls to it would carry turnpike's credentials. Leave it out, or have the operator set job_runtime.endpoint (TURNPIKE_ENDPOINT).`,
    );
  }
  checkRegion(body, region, problems);
}

function isAcceptable(text: string, region: string | undefined, endpoint: string | null): boolean {
  // The documentation shows it without a scheme at times.
  const url = URL.parse(text.includes("://") ? text : `https://${text}`);
  if (url === null) return false;
  if (endpoint !== null && url.origin === new URL(endpoint).origin) {
    return url.username === "" && url.password === "";
  }
  return isServiceHost(url) && (region === undefined || url.hostname.includes(`.${region}.`));
}

/** The ARN's region is where the job is; another one said beside it is a mistake somewhere. */
function checkRegion(body: JsonObject, region: string | undefined, problems: Problems): void {
  const named = textOf(body, ["metadata.region", "region"], problems);
  if (named === undefined || region === undefined || named.value === region) return;
  problems.invalid(
    named.path,
    `\`${named.path}\` says ${quote(named.value)}, but the job is in ${region}. Leave it out, or name the right job.`,
  );
}
