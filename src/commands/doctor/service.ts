/** The service's endpoint: which one, is it there, and what does its clock say? An unsigned GET of `/`, which is no operation. */
import type { LoadedConfig } from "../../config/load.ts";
import { regionMismatch, regionOf } from "../../config/region.ts";
import type { Config } from "../../config/schema.ts";
import { withoutPassword } from "../../config/values.ts";
import { toGatewayError } from "../../errors.ts";
import { type Endpoint, resolveEndpoint } from "../../job-runtime/endpoint.ts";
import { ask, networkTrouble } from "./exchange.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

export interface ServiceFindings {
  readonly findings: readonly Finding[];
  readonly skewMs: number | undefined;
}

/** The endpoint and whether it answers. */
export async function checkService(loaded: LoadedConfig): Promise<ServiceFindings> {
  const { config } = loaded;
  const endpoint = endpointOf(loaded);
  if (endpoint === undefined) {
    const advice =
      "Set identity.job_arn (TURNPIKE_JOB_ARN) or TURNPIKE_REGION to have it checked; requests that name a job need neither.";
    return {
      findings: [
        warn("endpoint", "depends on the request: no region and no job are configured", advice),
      ],
      skewMs: undefined,
    };
  }
  const url = new URL(`${endpoint.origin}${endpoint.basePath}/`);
  const findings = [describe(loaded, url, endpoint.region)];
  try {
    const answer = await ask(config, { url, method: "GET" });
    return {
      findings: [...findings, reached(answer.status, answer.tookMs)],
      skewMs: answer.skewMs,
    };
  } catch (error) {
    return { findings: [...findings, unreachable(config, url, error)], skewMs: undefined };
  }
}

function unreachable(config: Config, url: URL, error: unknown): Finding {
  const { text, advice } = networkTrouble(error);
  const proxy = url.protocol === "https:" ? config.proxy.https : config.proxy.http;
  const also = proxy === null ? "" : ` Check the proxy too: ${withoutPassword(proxy)}.`;
  return fail("reachable", `no: ${text}`, `${advice}${also}`);
}

function endpointOf({ config }: LoadedConfig): Endpoint | undefined {
  const region = regionOf(config);
  const { endpoint, fips } = config.job_runtime;
  try {
    // With an endpoint of its own the region only matters for the signature.
    return resolveEndpoint({
      region: region ?? (endpoint === null ? null : "us-east-1"),
      endpoint,
      fips,
    });
  } catch (error) {
    if (toGatewayError(error).code === "invalid_identity") return undefined;
    throw error;
  }
}

function describe(loaded: LoadedConfig, url: URL, region: string): Finding {
  const mismatch = regionMismatch(loaded);
  if (mismatch !== undefined) {
    return warn("endpoint", `${url.origin}: ${mismatch.text}`, mismatch.advice);
  }
  const source =
    loaded.sources.get("job_runtime.endpoint") ??
    `region ${region} of the ${loaded.sources.get("job_runtime.region") ?? "job ARN"}`;
  return ok("endpoint", `${url.href.replace(/\/$/, "")} (${source})`);
}

function reached(status: number, tookMs: number): Finding {
  const text = `answered ${status} in ${tookMs} ms`;
  // 4xx is what an unsigned request gets, and means the service or its front door is there.
  if (status < 500 && status !== 407) return ok("reachable", text);
  const advice =
    status === 407
      ? "The proxy wants a user and password in HTTPS_PROXY."
      : "The service or a proxy before it is failing: try again later.";
  return fail("reachable", text, advice);
}

/** Skew beyond which AWS refuses a signature. */
const refusedSkewMs = 300_000;
const notableSkewMs = 30_000;

/** This machine's clock against another's. */
export function checkClock(skewMs: number | undefined): Finding {
  if (skewMs === undefined) {
    return warn(
      "clock",
      "not checked: nobody answered with a date",
      "Run doctor again when the endpoint or STS can be reached.",
    );
  }
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  const text = `${seconds} s ${skewMs < 0 ? "ahead" : "behind"}`;
  const advice =
    "Set the clock right (NTP). turnpike corrects its signatures, but expiries of credentials are still misjudged.";
  if (seconds * 1000 >= refusedSkewMs) return fail("clock", text, advice);
  return seconds * 1000 >= notableSkewMs
    ? warn("clock", text, advice)
    : ok("clock", seconds < 2 ? "right" : text);
}
