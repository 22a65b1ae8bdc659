/**
 * The standard chain of AWS credential sources, in the SDKs' order: environment, profile (with SSO,
 * assumed roles and credential_process), web identity (IRSA), container endpoint (EKS Pod Identity,
 * ECS), instance metadata.
 */
import { Agent } from "node:https";
import { GatewayError } from "../errors.ts";
import type { AwsCredentials } from "./credentials.ts";

export interface ChainOptions {
  /** The process's environment. The SDK reads the same one by itself; here it tells what was tried. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** For the STS and SSO calls of the chain; default: what the environment or the profile says. */
  readonly region?: string | null | undefined;
}

/** Credentials and where they came from, in words. */
export interface FoundCredentials {
  readonly credentials: AwsCredentials;
  readonly source: string;
}

/**
 * A provider that walks the chain anew each time it is called, past the SDK's own caches: the source in
 * `credentials.ts` decides what is kept. The SDK is loaded at the first call that needs it, since start-up
 * time counts. Throws GatewayError `credentials_unavailable` with the sources tried and what to do.
 */
export function defaultProvider(options: ChainOptions): () => Promise<AwsCredentials> {
  return async () => (await findCredentials(options)).credentials;
}

/** One walk of the chain, for `defaultProvider` and `turnpike doctor`. Throws as it does. */
export async function findCredentials(options: ChainOptions): Promise<FoundCredentials> {
  const reasons = new Set<string>();
  try {
    return (
      credentialsOfEnvironment(options.environment) ??
      (await walkChain(options, (reason) => reasons.add(reason)))
    );
  } catch (error) {
    reasons.add(error instanceof Error ? error.message : String(error));
    // No cause: the SDK's errors hold command lines and responses, and this one will be logged.
    throw chainFailure([...reasons], options.environment);
  }
}

type Environment = ChainOptions["environment"];

/** The chain's first link without the SDK. As there, AWS_PROFILE is stronger. */
function credentialsOfEnvironment(environment: Environment): FoundCredentials | undefined {
  const accessKeyId = environment["AWS_ACCESS_KEY_ID"];
  const secretAccessKey = environment["AWS_SECRET_ACCESS_KEY"];
  if (!(accessKeyId && secretAccessKey) || environment["AWS_PROFILE"]) return undefined;
  const credentials = credentialsOf({
    accessKeyId,
    secretAccessKey,
    sessionToken: environment["AWS_SESSION_TOKEN"],
    expiration: dateOf(environment["AWS_CREDENTIAL_EXPIRATION"]),
  });
  return { credentials, source: "environment" };
}

async function walkChain(
  { environment, region }: ChainOptions,
  gaveNothing: (reason: string) => void,
): Promise<FoundCredentials> {
  const { fromNodeProviderChain } = await import("@aws-sdk/credential-providers");
  const provide = fromNodeProviderChain({
    // A profile's file may have been rewritten by whatever renews it.
    ignoreCache: true,
    maxRetries: 2,
    logger: linkLogger(gaveNothing),
    clientConfig: { ...(region ? { region } : {}), ...proxied(environment) },
  });
  const found = await provide();
  return { credentials: credentialsOf(found), source: sourceOf(found, environment) };
}

/** The SDK tells why a link of its chain gave nothing to nobody but its debug log. */
function linkLogger(gaveNothing: (reason: string) => void) {
  const silent = (): void => {};
  const debug = (text: unknown): void => {
    const reason = /^@smithy\/property-provider -> (.*)/.exec(String(text))?.[1];
    if (reason !== undefined) gaveNothing(reason);
  };
  return { trace: silent, debug, info: silent, warn: silent, error: silent };
}

/** The SDK marks what it found with the features that took part; what its last source gives has no mark. */
function sourceOf(found: object, environment: Environment): string {
  const marks = Object.keys((found as { $source?: object }).$source ?? {});
  const has = (part: string): boolean => marks.some((mark) => mark.includes(part));
  if (has("PROFILE")) return `profile "${environment["AWS_PROFILE"] ?? "default"}"`;
  if (has("WEB_ID")) return "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)";
  if (has("HTTP")) return "container endpoint";
  return marks.length === 0 || has("IMDS") ? "instance metadata" : marks.join(", ");
}

/** STS and SSO are behind the operator's proxy too; the SDK does not look for one by itself. */
function proxied(environment: Environment): object {
  const proxy = environment["HTTPS_PROXY"] || environment["https_proxy"];
  if (!proxy) return {};
  return { requestHandler: { httpsAgent: new Agent({ proxyEnv: { ...environment } }) } };
}

interface LooseCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  readonly expiration?: Date | undefined;
}

/** The four fields and nothing else: what a provider adds to its object is not for us to carry around. */
function credentialsOf(found: LooseCredentials): AwsCredentials {
  const { accessKeyId, secretAccessKey, sessionToken, expiration } = found;
  return {
    accessKeyId,
    secretAccessKey,
    ...(sessionToken ? { sessionToken } : {}),
    ...(expiration ? { expiration } : {}),
  };
}

function dateOf(text: string | undefined): Date | undefined {
  const date = text ? new Date(text) : undefined;
  return date && !Number.isNaN(date.getTime()) ? date : undefined;
}

/** The sources in the chain's order, each with why it gave nothing or which variable leads to it. */
export function credentialSources(environment: Environment): readonly string[] {
  const set = (name: string): string => (environment[name] ? `${name} set` : `${name} not set`);
  const profile = environment["AWS_PROFILE"];
  const container = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    ? "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    : "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
  const noMetadata = (environment["AWS_EC2_METADATA_DISABLED"] ?? "false") !== "false";
  return [
    profile
      ? "environment (passed over: AWS_PROFILE set)"
      : `environment (${set("AWS_ACCESS_KEY_ID")}, ${set("AWS_SECRET_ACCESS_KEY")})`,
    `profile "${profile ?? "default"}" in ${environment["AWS_SHARED_CREDENTIALS_FILE"] ?? "~/.aws/credentials"} and ${environment["AWS_CONFIG_FILE"] ?? "~/.aws/config"}`,
    `web identity (${set("AWS_WEB_IDENTITY_TOKEN_FILE")}, ${set("AWS_ROLE_ARN")})`,
    `container endpoint (${set(container)})`,
    `instance metadata (${noMetadata ? "off by AWS_EC2_METADATA_DISABLED" : environment[container] ? "passed over: container endpoint set" : "asked"})`,
  ];
}

/** What the SDK says of a source that nobody set up; `credentialSources` has that covered. */
const notSetUp =
  /^(AWS_PROFILE is set|Skipping SSO|Unable to find environment|Web identity configuration not|Could not load credentials from any|Could not resolve credentials using profile: \[default\]|Profile default could not be found)/;

function chainFailure(reasons: readonly string[], environment: Environment): GatewayError {
  const told = reasons.filter((reason) => !notSetUp.test(reason));
  const why = told.map((reason) => redacted(reason, environment)).join("; ");
  return new GatewayError(
    "credentials_unavailable",
    `No AWS credentials to sign with${why === "" ? "" : ` (${why})`}. Tried in this order: ${credentialSources(environment).join("; ")}. ` +
      "Give one of them to turnpike's process (aws sso login, AWS_PROFILE, a role for the pod's service account, …) and see with `turnpike doctor`.",
  );
}

const secretVariables = [
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN",
] as const;

/** The first line, shortened, without anything that the environment keeps secret. */
function redacted(message: string, environment: Environment): string {
  let [line = ""] = message.split("\n");
  for (const name of secretVariables) {
    const secret = environment[name];
    if (secret) line = line.replaceAll(secret, "***");
  }
  return line.length > 300 ? `${line.slice(0, 299)}…` : line.replace(/\.$/, "");
}
