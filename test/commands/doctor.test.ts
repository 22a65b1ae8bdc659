import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { runDoctor } from "../../src/commands/doctor.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import { runTurnpike } from "./turnpike-process.ts";

const folder = mkdtempSync(join(tmpdir(), "turnpike-doctor-"));
afterAll(() => rmSync(folder, { recursive: true }));

const jobArn = "arn:aws:sagemaker:us-west-2:123456789012:job/AgentRFT/a-job";
const keys = {
  AWS_ACCESS_KEY_ID: "AKIDDOCTOR123456",
  AWS_SECRET_ACCESS_KEY: "doctor-secret",
};
const freePorts = { TURNPIKE_PORT: "0", TURNPIKE_OPS_PORT: "0" };

/** Doctor's lines and exit code, in this process. */
async function doctor(environment: Record<string, string>) {
  const lines: string[] = [];
  const code = await runDoctor({
    environment: { ...freePorts, ...environment },
    file: undefined,
    flags: {},
    options: {},
    operands: [],
    stop: new AbortController().signal,
    print: (text) => lines.push(text),
    warn: (text) => lines.push(text),
  });
  const about = (subject: string) =>
    lines.filter((line) => line.slice(6).startsWith(subject)).join("\n");
  return { code, about, text: lines.join("\n") };
}

interface LocalServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: { readonly request: IncomingMessage; readonly body: string }[];
}

async function serverFor(answer: {
  status: number;
  body?: string;
  date?: Date;
}): Promise<LocalServer> {
  const requests: LocalServer["requests"] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    requests.push({ request, body });
    if (answer.date) response.setHeader("date", answer.date.toUTCString());
    response.writeHead(answer.status).end(answer.body);
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

function callerIdentity(account: string): string {
  return `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::${account}:assumed-role/rollout/pod</Arn><UserId>A:pod</UserId><Account>${account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`;
}

describe("doctor against the simulator", () => {
  it("finds all well, exits 0 and makes no turn", async () => {
    await using simulator = await startSimulator({
      port: 0,
      credentials: [{ accessKeyId: "AKIDDOCTOR123456", secretAccessKey: "doctor-secret" }],
    });
    const { code, about, text } = await doctor({
      ...keys,
      TURNPIKE_ENDPOINT: simulator.url,
      TURNPIKE_STATE_DIR: folder,
    });
    expect(code).toBe(0);
    expect(text).not.toMatch(/^(warn|fail)/m);
    expect(about("credentials")).toContain("environment, key id …3456, without an expiry");
    expect(about("identity")).toContain("is not AWS");
    expect(about("endpoint")).toContain(`${simulator.url} (variable TURNPIKE_ENDPOINT)`);
    expect(about("reachable")).toMatch(/answered \d+ in \d+ ms/);
    expect(about("clock")).toContain("right");
    expect(text).not.toContain("doctor-secret");
    expect(simulator.trajectories()).toEqual([]);
  });
});

// One of them in a process of its own.
describe("doctor against nothing", { timeout: 60_000 }, () => {
  it("fails on credentials and says which sources were tried, without crashing", async () => {
    const { code, stdout, stderr } = await runTurnpike(["doctor"], freePorts);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
    expect(stdout).toMatch(
      /^fail {2}credentials {2}none to be had\n +→ No AWS credentials to sign with/m,
    );
    expect(stdout).toContain("AWS_ACCESS_KEY_ID not set");
    expect(stdout).toMatch(/^warn {2}endpoint +depends on the request/m);
    expect(stdout).toMatch(/^warn {2}clock +not checked/m);
  });

  it("says plainly that endpoint and STS cannot be reached", async () => {
    const { code, about } = await doctor({
      ...keys,
      TURNPIKE_ENDPOINT: "http://127.0.0.1:1",
      AWS_ENDPOINT_URL_STS: "http://127.0.0.1:1",
    });
    expect(code).toBe(1);
    expect(about("reachable")).toMatch(
      /^fail .*no: .*ECONNREFUSED 127\.0\.0\.1:1\n +→ Nothing listens there/,
    );
    expect(about("identity")).toMatch(
      /^warn .*STS at 127\.0\.0\.1:1 did not answer.*\n.*turns still work/,
    );
    expect(about("clock")).toMatch(/^warn/);
  });

  it("goes through the configured proxy, and names it when that fails", async () => {
    const { code, about, text } = await doctor({
      ...keys,
      TURNPIKE_REGION: "us-west-2",
      HTTPS_PROXY: "http://user:hunter2@127.0.0.1:1",
    });
    expect(code).toBe(1);
    expect(about("endpoint")).toContain(
      "https://job-runtime.sagemaker.us-west-2.api.aws (region us-west-2 of the variable TURNPIKE_REGION)",
    );
    expect(about("reachable")).toMatch(
      /ECONNREFUSED[\s\S]*Check the proxy too: http:\/\/\*\*\*@127\.0\.0\.1:1/,
    );
    expect(text).not.toContain("hunter2");
  });
});

describe("doctor's identity", () => {
  it("asks STS, signed for the job's region, and shows who answers", async () => {
    await using sts = await serverFor({ status: 200, body: callerIdentity("123456789012") });
    const { about } = await doctor({
      ...keys,
      AWS_SESSION_TOKEN: "a-token",
      TURNPIKE_JOB_ARN: jobArn,
      AWS_ENDPOINT_URL_STS: sts.url,
      TURNPIKE_ENDPOINT: sts.url,
    });
    expect(about("identity")).toContain(
      "ok    identity     arn:aws:sts::123456789012:assumed-role/rollout/pod",
    );
    const call = sts.requests.find(({ request }) => request.method === "POST");
    expect(call?.body).toBe("Action=GetCallerIdentity&Version=2011-06-15");
    expect(call?.request.headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIDDOCTOR123456\/\d{8}\/us-west-2\/sts\/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, /,
    );
  });

  it("fails where the account is not the job's", async () => {
    await using sts = await serverFor({ status: 200, body: callerIdentity("999999999999") });
    const { code, about } = await doctor({
      ...keys,
      TURNPIKE_JOB_ARN: jobArn,
      AWS_ENDPOINT_URL_STS: sts.url,
      TURNPIKE_ENDPOINT: sts.url,
    });
    expect(code).toBe(1);
    expect(about("identity")).toContain("but the job is in account 123456789012");
  });

  it("fails with STS's own words where it refuses the credentials", async () => {
    const body =
      "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error></ErrorResponse>";
    await using sts = await serverFor({ status: 403, body });
    const { about } = await doctor({
      ...keys,
      AWS_ENDPOINT_URL_STS: sts.url,
      TURNPIKE_ENDPOINT: sts.url,
    });
    expect(about("identity")).toMatch(
      /^fail .*ExpiredToken: The security token included in the request is expired/,
    );
  });

  it("fails on credentials that have expired", async () => {
    const { about } = await doctor({
      ...keys,
      AWS_CREDENTIAL_EXPIRATION: "2020-01-01T00:00:00Z",
      TURNPIKE_ENDPOINT: "http://127.0.0.1:1",
    });
    expect(about("credentials")).toMatch(/^fail .*expired at 2020-01-01T00:00:00\.000Z/);
  });
});

describe("doctor's clock", () => {
  it.each([
    ["fail", 10 * 60_000, "600 s behind"],
    ["warn", -60_000, "60 s ahead"],
  ])("is a %s when the service's date is %d ms off", async (status, offsetMs, text) => {
    // To the half second: the Date header has whole ones.
    const date = new Date(Math.floor(Date.now() / 1000) * 1000 + 500 + offsetMs);
    await using service = await serverFor({ status: 403, date });
    const { about } = await doctor({ ...keys, TURNPIKE_ENDPOINT: service.url });
    expect(about("clock")).toMatch(new RegExp(`^${status} +clock +(${text}|${nextSecond(text)})`));
  });
});

/** The measured skew may round to either side. */
function nextSecond(text: string): string {
  return text.replace(/\d+/, (seconds) => `(${Number(seconds) - 1}|${Number(seconds) + 1})`);
}

describe("doctor's machine", () => {
  it("leaves nothing in the state folder, and makes none", async () => {
    const state = join(folder, "state", "not-yet");
    const { about } = await doctor({
      ...keys,
      TURNPIKE_STATE_DIR: state,
      TURNPIKE_ENDPOINT: "http://127.0.0.1:1",
    });
    expect(about("state")).toMatch(/^ok /);
    expect(readdirSync(folder)).not.toContain("state");
  });

  it("fails where the state folder cannot be one", async () => {
    const file = join(folder, "a-file");
    writeFileSync(file, "");
    const { about } = await doctor({
      ...keys,
      TURNPIKE_STATE_DIR: file,
      TURNPIKE_ENDPOINT: "http://127.0.0.1:1",
    });
    expect(about("state")).toMatch(/^fail .*cannot be written/);
  });

  it("fails on a port that something else uses, unless that is a running turnpike", async () => {
    await using other = await serverFor({ status: 200 });
    const { port } = new URL(other.url);
    const environment = { ...keys, TURNPIKE_ENDPOINT: "http://127.0.0.1:1", TURNPIKE_PORT: port };
    expect((await doctor(environment)).about("ports")).toMatch(
      new RegExp(
        `^fail +ports +server\\.port ${port} on 127\\.0\\.0\\.1 cannot be had \\(EADDRINUSE\\)`,
      ),
    );
    await using ops = await serverFor({ status: 200 });
    const running = { ...environment, TURNPIKE_OPS_PORT: new URL(ops.url).port };
    expect((await doctor(running)).about("ports")).toContain("in use, by a turnpike that runs");
  });
});
