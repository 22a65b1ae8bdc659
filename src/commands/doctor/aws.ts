/** Credentials and identity: is there something to sign with, and who is it? */
import type { Environment } from "../../config/environment.ts";
import { regionOf } from "../../config/region.ts";
import type { Config } from "../../config/schema.ts";
import { toGatewayError } from "../../errors.ts";
import { findCredentials } from "../../job-runtime/credential-chain.ts";
import type { AwsCredentials } from "../../job-runtime/credentials.ts";
import { isServiceHost } from "../../job-runtime/endpoint.ts";
import { bodyHashOf, RequestSigner } from "../../job-runtime/sign.ts";
import { ask, networkTrouble } from "./exchange.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

export interface AwsFindings {
  readonly findings: readonly Finding[];
  readonly skewMs: number | undefined;
}

/** The credentials, then whose they are. */
export async function checkAws(config: Config, environment: Environment): Promise<AwsFindings> {
  const region = regionOf(config);
  try {
    const { credentials, source } = await findCredentials({ environment, region });
    const found = describe(credentials, source);
    const identity = await checkIdentity(config, environment, credentials);
    return { findings: [found, identity.finding], skewMs: identity.skewMs };
  } catch (error) {
    const { message } = toGatewayError(error);
    return { findings: [fail("credentials", "none to be had", message)], skewMs: undefined };
  }
}

function describe({ accessKeyId, expiration }: AwsCredentials, source: string): Finding {
  const text = `${source}, key id …${accessKeyId.slice(-4)}`;
  if (expiration === undefined) return ok("credentials", `${text}, without an expiry`);
  const until = expiration.toISOString();
  return expiration.getTime() > Date.now()
    ? ok("credentials", `${text}, valid until ${until}`)
    : fail(
        "credentials",
        `${text}, expired at ${until}`,
        "Renew them at their source (aws sso login, a new session token).",
      );
}

interface IdentityFinding {
  readonly finding: Finding;
  readonly skewMs?: number | undefined;
}

async function checkIdentity(
  config: Config,
  environment: Environment,
  credentials: AwsCredentials,
): Promise<IdentityFinding> {
  const override = environment["AWS_ENDPOINT_URL_STS"];
  const { endpoint } = config.job_runtime;
  if (!override && endpoint !== null && !isServiceHost(endpoint)) {
    return {
      finding: ok("identity", `not asked: ${endpoint} is not AWS, so AWS need not know the key`),
    };
  }
  const region = regionOf(config) ?? "us-east-1";
  const suffix = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  const url = new URL(override || `https://sts.${region}.${suffix}/`);
  try {
    const answer = await ask(config, callerIdentity(url, region, credentials));
    return { finding: readIdentity(config, answer), skewMs: answer.skewMs };
  } catch (error) {
    const { text, advice } = networkTrouble(error);
    return {
      finding: warn(
        "identity",
        `not known: STS at ${url.host} did not answer: ${text}`,
        `${advice} Without STS turns still work.`,
      ),
    };
  }
}

/** Signed by the gateway's own signer, so that STS judges that too. */
function callerIdentity(
  url: URL,
  region: string,
  credentials: AwsCredentials,
): Parameters<typeof ask>[1] {
  const body = "Action=GetCallerIdentity&Version=2011-06-15";
  const amzDate = new Date().toISOString().replace(/[:-]|\.\d{3}/g, "");
  const token = credentials.sessionToken;
  const headers: [string, string][] = [
    ["content-type", "application/x-www-form-urlencoded; charset=utf-8"],
    ["host", url.host],
    ["x-amz-date", amzDate],
    ...(token === undefined ? [] : [["x-amz-security-token", token] as [string, string]]),
  ];
  const authorization = new RequestSigner({ region, service: "sts" }).authorization(
    { path: url.pathname, headers, bodyHash: bodyHashOf(Buffer.from(body)) },
    credentials,
    amzDate,
  );
  return { url, method: "POST", headers: { ...Object.fromEntries(headers), authorization }, body };
}

function readIdentity(config: Config, answer: { status: number; text: string }): Finding {
  const arn = /<Arn>([^<]+)<\/Arn>/.exec(answer.text)?.[1];
  const account = /<Account>(\d+)<\/Account>/.exec(answer.text)?.[1];
  if (answer.status !== 200 || arn === undefined) return refused(answer);
  const jobAccount = config.identity.job_arn?.split(":")[4];
  if (jobAccount === undefined || jobAccount === account) return ok("identity", arn);
  return fail(
    "identity",
    `${arn}, but the job is in account ${jobAccount}`,
    "The service takes calls from the job's own account only: use a role of that account.",
  );
}

function refused({ status, text }: { status: number; text: string }): Finding {
  const code = /<Code>([^<]+)<\/Code>/.exec(text)?.[1] ?? `HTTP ${status}`;
  const message = /<Message>([^<]+)<\/Message>/.exec(text)?.[1] ?? "no reason given";
  if (status >= 500) return warn("identity", `not known: STS failed (${code})`, "Try again later.");
  return fail(
    "identity",
    `STS refuses these credentials: ${code}: ${message}`,
    "Renew or replace them; the service would refuse them too.",
  );
}
