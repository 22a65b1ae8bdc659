/** Which URL the service has, by region (service.md, "Protocol"). */
import { GatewayError } from "../errors.ts";

export interface EndpointSettings {
  /** The configured region, or the job ARN's; empty where neither names one. */
  readonly region: string | null | undefined;
  /** A URL in place of the region's own; `null` for none. */
  readonly endpoint?: string | null | undefined;
  readonly fips?: boolean | undefined;
}

export interface Endpoint {
  /** `https://job-runtime.sagemaker.us-east-1.api.aws`, no slash at the end. */
  readonly origin: string;
  /** The `Host` header's value: the port is in it where it is not the scheme's own. */
  readonly host: string;
  /** The URL's path without a slash at the end; mostly empty. */
  readonly basePath: string;
  /** What requests are signed for; needed with a custom endpoint too. */
  readonly region: string;
}

const regionLabel = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * [model] Dual-stack names only. Throws `invalid_identity` without a region: it comes with the job
 * ARN, so it may be missing for one request and not for another.
 */
export function resolveEndpoint({ region, endpoint, fips }: EndpointSettings): Endpoint {
  if (!region || !regionLabel.test(region)) {
    throw new GatewayError(
      "invalid_identity",
      `The service's region is not known: the job ARN names ${region ? `"${region}"` : "none"}. ` +
        "Set job_runtime.region (TURNPIKE_REGION or AWS_REGION), or name a job ARN with a region.",
      { param: "job_arn" },
    );
  }
  const url = new URL(endpoint ?? serviceUrl(region, fips === true));
  return {
    origin: url.origin,
    host: url.host,
    basePath: url.pathname.replace(/\/+$/, ""),
    region,
  };
}

function serviceUrl(region: string, fips: boolean): string {
  const suffix = region.startsWith("cn-") ? "api.amazonwebservices.com.cn" : "api.aws";
  return `https://job-runtime.sagemaker${fips ? "-fips" : ""}.${region}.${suffix}`;
}

const serviceHost =
  /^job-runtime\.sagemaker(?:-fips)?\.(?:(?!cn-)[a-z]{2}(?:-[a-z]+)+-\d+\.api\.aws|cn(?:-[a-z]+)+-\d+\.api\.amazonwebservices\.com\.cn)$/;

/**
 * Whether a URL that came with a request is the service's own: https, its host names, its port. Calls
 * to it carry the pod's credentials, so anything else must not be believed.
 */
export function isServiceHost(url: string | URL): boolean {
  const parsed = typeof url === "string" ? URL.parse(url) : url;
  if (parsed === null) return false;
  const bare = parsed.username === "" && parsed.password === "" && parsed.port === "";
  return parsed.protocol === "https:" && bare && serviceHost.test(parsed.hostname);
}
