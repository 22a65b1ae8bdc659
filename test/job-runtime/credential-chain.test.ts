import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { defaultProvider, findCredentials } from "../../src/job-runtime/credential-chain.ts";

const folder = mkdtempSync(join(tmpdir(), "turnpike-chain-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function fileWith(text: string): string {
  files += 1;
  const file = join(folder, `${files}`);
  writeFileSync(file, text);
  return file;
}

const chainVariables = [
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_CREDENTIAL_EXPIRATION",
  "AWS_PROFILE",
  "AWS_REGION",
  "AWS_DEFAULT_REGION",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_ROLE_ARN",
  "AWS_ROLE_SESSION_NAME",
  "AWS_ENDPOINT_URL_STS",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
  "AWS_EC2_METADATA_SERVICE_ENDPOINT",
  "AWS_EC2_METADATA_DISABLED",
  "HTTPS_PROXY",
  "https_proxy",
] as const;

type Variables = Partial<Record<(typeof chainVariables)[number], string>>;

/** The process's environment (the SDK reads it by itself) and the one handed over, with these and no other AWS settings. */
function environmentOf(variables: Variables): Record<string, string> {
  const environment: Record<string, string> = {
    AWS_SHARED_CREDENTIALS_FILE: join(folder, "no-credentials"),
    AWS_CONFIG_FILE: join(folder, "no-config"),
    AWS_EC2_METADATA_DISABLED: "true",
    ...variables,
  };
  for (const name of chainVariables) vi.stubEnv(name, undefined);
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  return environment;
}

interface LocalServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: IncomingMessage[];
}

/** A real server that answers with what `answer` makes of a request; undefined is a 404. */
async function serverFor(
  answer: (request: IncomingMessage) => string | undefined,
): Promise<LocalServer> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    const body = answer(request);
    response.statusCode = body === undefined ? 404 : 200;
    request.resume().on("end", () => response.end(body ?? "no such thing"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const roleCredentials = JSON.stringify({
  Code: "Success",
  Type: "AWS-HMAC",
  AccessKeyId: "ASIAROLE",
  SecretAccessKey: "role-secret",
  Token: "role-token",
  Expiration: "2999-01-01T00:00:00Z",
});

const expectedRole = {
  accessKeyId: "ASIAROLE",
  secretAccessKey: "role-secret",
  sessionToken: "role-token",
  expiration: new Date("2999-01-01T00:00:00Z"),
};

describe("the credential chain", () => {
  it("takes the environment's, with token and expiry", async () => {
    const environment = environmentOf({
      AWS_ACCESS_KEY_ID: "AKIDENV",
      AWS_SECRET_ACCESS_KEY: "env-secret",
      AWS_SESSION_TOKEN: "env-token",
      AWS_CREDENTIAL_EXPIRATION: "2999-01-01T00:00:00Z",
    });
    expect(await findCredentials({ environment })).toEqual({
      credentials: {
        accessKeyId: "AKIDENV",
        secretAccessKey: "env-secret",
        sessionToken: "env-token",
        expiration: new Date("2999-01-01T00:00:00Z"),
      },
      source: "environment",
    });
  });

  it("takes AWS_PROFILE's profile before the environment's keys, and reads its file anew each time", async () => {
    const file = fileWith("[work]\naws_access_key_id = AKIDFIRST\naws_secret_access_key = s\n");
    const environment = environmentOf({ AWS_PROFILE: "work" });
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", file);
    const provide = defaultProvider({ environment });
    expect((await provide()).accessKeyId).toBe("AKIDFIRST");
    writeFileSync(file, "[work]\naws_access_key_id = AKIDSECOND\naws_secret_access_key = s\n");
    expect((await provide()).accessKeyId).toBe("AKIDSECOND");
    expect((await findCredentials({ environment })).source).toBe('profile "work"');
  });

  it("runs a profile's credential_process", async () => {
    const script = fileWith(
      `process.stdout.write(JSON.stringify({ Version: 1, AccessKeyId: "AKIDPROCESS", SecretAccessKey: "s", SessionToken: "t", Expiration: "2999-01-01T00:00:00Z" }))`,
    );
    const environment = environmentOf({ AWS_PROFILE: "tool" });
    vi.stubEnv(
      "AWS_CONFIG_FILE",
      fileWith(`[profile tool]\ncredential_process = ${process.execPath} ${script}\n`),
    );
    const { credentials, source } = await findCredentials({ environment });
    expect(credentials).toMatchObject({ accessKeyId: "AKIDPROCESS", sessionToken: "t" });
    expect(source).toBe('profile "tool"');
  });

  it("exchanges a web identity token at STS, as for IRSA", async () => {
    await using sts = await serverFor(
      () => `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>
<SessionToken>role-token</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`,
    );
    const environment = environmentOf({
      AWS_WEB_IDENTITY_TOKEN_FILE: fileWith("a.web.token"),
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/rollout",
      AWS_ENDPOINT_URL_STS: sts.url,
    });
    const { credentials, source } = await findCredentials({ environment, region: "us-east-1" });
    expect(credentials).toEqual(expectedRole);
    expect(source).toContain("web identity");
  });

  it("asks the container endpoint with its token file, as for EKS Pod Identity", async () => {
    await using endpoint = await serverFor(({ headers }) =>
      headers.authorization === "pod-token" ? roleCredentials : undefined,
    );
    const environment = environmentOf({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${endpoint.url}/v1/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: fileWith("pod-token"),
    });
    const { credentials, source } = await findCredentials({ environment });
    expect(credentials).toEqual(expectedRole);
    expect(source).toBe("container endpoint");
    expect(endpoint.requests.map(({ url }) => url)).toEqual(["/v1/credentials"]);
  });

  it("asks the instance metadata service last, with a session token", async () => {
    const profiles = "/latest/meta-data/iam/security-credentials/";
    const answers: Record<string, string> = {
      "PUT /latest/api/token": "imds-token",
      [`GET ${profiles}`]: "rollout-role",
      [`GET ${profiles}rollout-role`]: roleCredentials,
    };
    await using metadata = await serverFor(({ method, url }) => answers[`${method} ${url}`]);
    const environment = environmentOf({
      AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url,
      AWS_EC2_METADATA_DISABLED: "false",
    });
    const { credentials, source } = await findCredentials({ environment });
    expect(credentials).toMatchObject({ accessKeyId: "ASIAROLE", sessionToken: "role-token" });
    expect(source).toBe("instance metadata");
    expect(metadata.requests.at(-1)?.headers["x-aws-ec2-metadata-token"]).toBe("imds-token");
  });
});

describe("a chain that finds nothing", () => {
  it("says which sources were tried, in order, and what to do", async () => {
    const environment = environmentOf({});
    await expect(defaultProvider({ environment })()).rejects.toMatchObject({
      code: "credentials_unavailable",
      status: 401,
      message: `No AWS credentials to sign with (EC2 Instance Metadata Service access disabled). Tried in this order: environment (AWS_ACCESS_KEY_ID not set, AWS_SECRET_ACCESS_KEY not set); profile "default" in ${folder}/no-credentials and ${folder}/no-config; web identity (AWS_WEB_IDENTITY_TOKEN_FILE not set, AWS_ROLE_ARN not set); container endpoint (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI not set); instance metadata (off by AWS_EC2_METADATA_DISABLED). Give one of them to turnpike's process (aws sso login, AWS_PROFILE, a role for the pod's service account, …) and see with \`turnpike doctor\`.`,
    });
  });

  it("names a profile that does not exist", async () => {
    const environment = environmentOf({ AWS_PROFILE: "wrok" });
    await expect(defaultProvider({ environment })()).rejects.toMatchObject({
      message: expect.stringContaining("using profile: [wrok]"),
    });
  });

  it("says why the container endpoint could not be asked", async () => {
    const environment = environmentOf({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://127.0.0.1:1/v1/credentials",
    });
    await expect(defaultProvider({ environment })()).rejects.toMatchObject({
      message: expect.stringMatching(/sign with \(.*ECONNREFUSED 127\.0\.0\.1:1\)/),
    });
  });

  it("never repeats what the environment keeps secret", async () => {
    const environment = environmentOf({ AWS_SESSION_TOKEN: "hunter2-token", AWS_PROFILE: "tool" });
    const file = fileWith("[profile tool]\ncredential_process = false --token hunter2-token\n");
    vi.stubEnv("AWS_CONFIG_FILE", file);
    const failure = await defaultProvider({ environment })().catch((error: Error) => error.message);
    expect(failure).toContain("sign with (Command failed: false --token ***;");
    expect(failure).not.toContain("hunter2");
  });
});
