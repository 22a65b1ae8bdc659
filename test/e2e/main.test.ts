import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { runTurnpike, TurnpikeProcess } from "../commands/turnpike-process.ts";

const freePorts = ["--port", "0", "--ops-port", "0"];
const devPorts = [...freePorts, "--simulator-port", "0"];

interface Dev {
  readonly baseUrl: string;
  readonly opsUrl: string;
  readonly turnsUrl: string;
  readonly trajectoryId: string;
}

/** What `dev` printed. */
async function banner(turnpike: TurnpikeProcess): Promise<Dev> {
  const [, turnsUrl = ""] = await turnpike.printed(/^Turns +curl (\S+)/m);
  const [, baseUrl = ""] = await turnpike.printed(/export OPENAI_BASE_URL=(\S+)/);
  const [, opsUrl = ""] = await turnpike.printed(/ops (\S+)/);
  const [, trajectoryId = ""] = await turnpike.printed(/^Trajectory (\S+)/m);
  return { baseUrl, opsUrl, turnsUrl, trajectoryId };
}

function chat(baseUrl: string, stream: boolean): Promise<Response> {
  return fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "default",
      stream,
      messages: [{ role: "user", content: "Hello" }],
    }),
  });
}

describe("turnpike dev", () => {
  it("answers a plain and a streamed completion, captures both as turns of its trajectory, and ends with 0 on SIGTERM", async () => {
    await using turnpike = new TurnpikeProcess(["dev", ...devPorts]);
    const { baseUrl, turnsUrl, trajectoryId } = await banner(turnpike);

    const plain = await chat(baseUrl, false);
    expect(plain.status).toBe(200);
    expect(plain.headers.get("x-turnpike-trajectory-id")).toBe(trajectoryId);
    expect(await plain.json()).toMatchObject({ object: "chat.completion" });

    const streamed = await chat(baseUrl, true);
    expect(streamed.headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect((await streamed.text()).trimEnd().endsWith("data: [DONE]")).toBe(true);

    const turns = (await (await fetch(turnsUrl)).text()).trimEnd().split("\n");
    expect(turns).toHaveLength(2);
    expect(turns.every((turn) => turn.includes(trajectoryId))).toBe(true);

    turnpike.kill("SIGTERM");
    expect(await turnpike.exited).toEqual({ code: 0, signal: null });
    expect(turnpike.stderr).toBe("");
  });

  it("can be tried with the curl line it prints", async () => {
    await using turnpike = new TurnpikeProcess(["dev", ...devPorts]);
    const [, url = "", header = "", body = ""] = await turnpike.printed(
      /curl -N (\S+) -H '([^']+)' -d '([^']+)'/,
    );
    const [name = "", value = ""] = header.split(": ");
    const response = await fetch(url, { method: "POST", headers: { [name]: value }, body });
    expect(response.status).toBe(200);
    expect(await response.text()).toContain("data: [DONE]");
  });

  it("neither reads nor needs the user's AWS settings", async () => {
    await using turnpike = new TurnpikeProcess(["dev", ...devPorts], {
      AWS_PROFILE: "does-not-exist",
      AWS_REGION: "not a region",
      AWS_ACCESS_KEY_ID: "AKIDUSER",
      AWS_SECRET_ACCESS_KEY: "user-secret",
      AWS_SESSION_TOKEN: "user-token",
      AWS_USE_FIPS_ENDPOINT: "true",
      AWS_ENDPOINT_URL: "http://127.0.0.1:1",
      HTTPS_PROXY: "http://127.0.0.1:1",
    });
    const { baseUrl } = await banner(turnpike);
    expect((await chat(baseUrl, false)).status).toBe(200);
  });

  it("signs for the job's region", async () => {
    const job = "arn:aws:sagemaker:eu-west-1:123456789012:job/AgentRFT/mine";
    await using turnpike = new TurnpikeProcess(["dev", ...devPorts, "--job-arn", job]);
    const { baseUrl, turnsUrl } = await banner(turnpike);
    expect((await chat(baseUrl, false)).status).toBe(200);
    expect(await (await fetch(turnsUrl)).text()).toContain(job);
  });

  it("lets a turn in flight end after SIGTERM, and then ends with 0", async () => {
    await using turnpike = new TurnpikeProcess(["dev", ...devPorts, "--event-delay-ms", "50"]);
    const { baseUrl, opsUrl } = await banner(turnpike);
    const response = await chat(baseUrl, true);
    turnpike.kill("SIGTERM");
    expect(await response.text()).toContain("data: [DONE]");
    expect(await turnpike.exited).toEqual({ code: 0, signal: null });
    await expect(fetch(`${opsUrl}/livez`)).rejects.toThrow();
  });

  it("ends at once with 130 on the second SIGINT", async () => {
    await using turnpike = new TurnpikeProcess(["dev", ...devPorts, "--event-delay-ms", "60000"]);
    const { baseUrl, opsUrl } = await banner(turnpike);
    // The first event is there; the next would take a minute.
    const turn = chat(baseUrl, true)
      .then((response) => response.text())
      .catch(() => "cut");
    await untilReadyIs(opsUrl, 200);
    await inFlight(opsUrl);
    turnpike.kill("SIGINT");
    await untilReadyIs(opsUrl, 503);
    turnpike.kill("SIGINT");
    expect(await turnpike.exited).toEqual({ code: 130, signal: null });
    await turn;
  });
});

async function untilReadyIs(opsUrl: string, status: number): Promise<void> {
  while ((await fetch(`${opsUrl}/readyz`)).status !== status) await pause();
}

/** Waits until the ops listener counts a turn in flight. */
async function inFlight(opsUrl: string): Promise<void> {
  const pattern = /in_flight[^\n]* 1$/m;
  while (!pattern.test(await (await fetch(`${opsUrl}/metrics`)).text())) await pause();
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

describe("turnpike serve", () => {
  it("makes turns at a simulator in another process, with what that one says to export", async () => {
    await using simulator = new TurnpikeProcess(["simulate", "--port", "0"]);
    const [, jobArn = ""] = await simulator.printed(/serve --job-arn (\S+)/);
    const exported = Object.fromEntries(
      [...simulator.stdout.matchAll(/export (\w+)=(\S+)/g)].map(([, name, value]) => [name, value]),
    ) as Record<string, string>;
    await using gateway = new TurnpikeProcess(
      ["serve", ...freePorts, "--job-arn", jobArn, "--trajectory-id", "one-per-pod"],
      exported,
    );
    const [, url = ""] = await gateway.printed(/"url":"([^"]+)"/);
    const response = await chat(`${url}/v1`, true);
    expect(response.headers.get("x-turnpike-trajectory-id")).toBe("one-per-pod");
    expect(await response.text()).toContain("data: [DONE]");
    gateway.kill("SIGTERM");
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
    expect(gateway.stdout).not.toContain(exported["AWS_SECRET_ACCESS_KEY"]);
  });

  it("starts without credentials, is not ready, and says in one log line and in the answer what to do", async () => {
    await using gateway = new TurnpikeProcess([
      "serve",
      ...freePorts,
      "--job-arn",
      "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/dev",
      "--trajectory-id",
      "t",
      "--endpoint",
      "http://127.0.0.1:1",
    ]);
    const [, url = "", opsUrl = ""] = await gateway.printed(/"url":"([^"]+)","ops_url":"([^"]+)"/);
    expect((await fetch(`${opsUrl}/readyz`)).status).toBe(503);
    const response = await chat(`${url}/v1`, false);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({
      error: {
        code: "credentials_unavailable",
        message: expect.stringContaining("Tried in this order: environment"),
      },
    });
    // Beyond the second for which a failure is kept, so that the sources are asked once more.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await chat(`${url}/v1`, false)).status).toBe(401);
    gateway.kill("SIGTERM");
    await gateway.exited;
    const said = gateway.stdout
      .split("\n")
      .filter((line) => line.includes('"level":"error"') && line.includes("No AWS credentials"));
    expect(said).toHaveLength(1);
  });

  it("names port, listener and flag when a port is in use, and exits 1", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const gateway = await runTurnpike(["serve", "--port", String(port), "--ops-port", "0"]);
    const ops = await runTurnpike(["serve", "--port", "0", "--ops-port", String(port)]);
    server.close();
    expect([gateway.code, ops.code]).toEqual([1, 1]);
    expect(gateway.stderr).toBe(
      `turnpike: the gateway cannot listen: port ${port} on 127.0.0.1 is in use. Stop what uses it, or choose another with --port, server.port or TURNPIKE_PORT (0 takes a free one).\n`,
    );
    expect(ops.stderr).toContain(`the ops listener cannot listen: port ${port}`);
    expect(ops.stderr).toContain("--ops-port, ops.port or TURNPIKE_OPS_PORT");
  });
});
