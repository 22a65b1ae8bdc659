import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/errors.ts";
import { createLogger, type LogLevel, logTurn } from "../../src/telemetry/log.ts";

const start = {
  jobArn: "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/one",
  trajectoryId: "t-1",
  stream: true,
  retryCount: 0,
  bytesIn: 2400,
};
const end = {
  outcome: "finished",
  status: 200,
  requestId: "req-1",
  bytesOut: 1200,
  firstByteMs: 12.3456,
  durationMs: 98.76,
  attempts: 1,
  usage: { promptTokens: 7, completionTokens: 3 },
} as const;

function setUp(level: LogLevel = "info") {
  let text = "";
  const destination = {
    write: (line: string) => {
      text += line;
    },
  };
  const log = createLogger({ level, destination });
  const lines = () =>
    text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  return { log, lines, text: () => text };
}

describe("a turn", () => {
  it("is one line with ids, outcome, bytes and timings", () => {
    const { log, lines } = setUp();
    logTurn(log, { start, number: 3 }, end);
    expect(lines()).toEqual([
      {
        level: "info",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        service: "turnpike",
        version: expect.any(String),
        turn: {
          job_arn: start.jobArn,
          trajectory_id: "t-1",
          number: 3,
          stream: true,
          outcome: "finished",
          status: 200,
          request_id: "req-1",
          bytes_in: 2400,
          bytes_out: 1200,
          first_byte_ms: 12.3,
          duration_ms: 98.8,
          attempts: 1,
          prompt_tokens: 7,
          completion_tokens: 3,
        },
        msg: "turn-ended",
      },
    ]);
  });

  it("that failed says why, and which retry it was", () => {
    const { log, lines } = setUp();
    const failed = {
      ...end,
      outcome: "failed",
      status: 429,
      code: "service_throttled",
      serviceType: "ThrottlingException",
    } as const;
    logTurn(log, { start: { ...start, retryCount: 2 }, number: 1 }, failed);
    expect(lines()[0].turn).toMatchObject({
      outcome: "failed",
      status: 429,
      code: "service_throttled",
      service_type: "ThrottlingException",
      retry_count: 2,
    });
  });

  it("is not logged above info", () => {
    const { log, text } = setUp("warn");
    logTurn(log, { start, number: 1 }, end);
    expect(text()).toBe("");
  });

  it("stays one line whatever its trajectory is called", () => {
    const { log, lines } = setUp();
    logTurn(log, { start: { ...start, trajectoryId: 'a"}\n{"level":"error' }, number: 1 }, end);
    expect(lines()).toHaveLength(1);
    expect(lines()[0].turn.trajectory_id).toBe('a"}\n{"level":"error');
  });
});

describe("secrets", () => {
  const secret = "s3cr3t-value";

  it.each([
    { authorization: `Bearer ${secret}` },
    { headers: { authorization: secret, Authorization: secret, cookie: secret } },
    { headers: { "x-amz-security-token": secret } },
    { request: { headers: {}, body: secret } },
    { credentials: { accessKeyId: secret, secretAccessKey: secret, sessionToken: secret } },
    { secretAccessKey: secret, sessionToken: secret, accessKeyId: secret },
    { api_key: secret, apiKey: secret },
    { server: { api_keys: [secret] } },
    { body: { messages: [secret] } },
  ])("that were logged by accident stay out: %j", (fields) => {
    const { log, text } = setUp();
    log.info(fields, "accident");
    expect(text()).toContain("accident");
    expect(text()).not.toContain(secret);
  });

  it("that the AWS SDK hangs on its errors stay out", () => {
    const { log, lines, text } = setUp();
    const cause = Object.assign(new Error("could not load credentials"), {
      code: "ECONNREFUSED",
      $response: { headers: { authorization: secret } },
      request: { body: secret },
    });
    log.error(
      { err: new GatewayError("credentials_unavailable", "none found", { cause }) },
      "failed",
    );
    expect(text()).not.toContain(secret);
    expect(lines()[0].err).toMatchObject({
      type: "GatewayError",
      message: "none found",
      code: "credentials_unavailable",
      stack: expect.stringContaining("log.test.ts"),
      cause: { type: "Error", message: "could not load credentials", code: "ECONNREFUSED" },
    });
  });

  it("in a body that could not be parsed stay out: V8 quotes it in the error", () => {
    const { log, text } = setUp();
    let thrown: unknown;
    try {
      JSON.parse(secret);
    } catch (error) {
      thrown = error;
    }
    expect(String(thrown)).toContain(secret);
    log.error({ err: new GatewayError("invalid_json", "bad", { cause: thrown }) }, "failed");
    expect(text()).toContain("SyntaxError");
    expect(text()).not.toContain(secret);
  });

  it("thrown as anything but an error stay out", () => {
    const { log, text } = setUp();
    log.error({ err: secret }, "failed");
    expect(text()).toContain('"type":"string"');
    expect(text()).not.toContain(secret);
  });
});

it("ends a chain of causes that goes in a circle", () => {
  const { log, lines } = setUp();
  const error = new Error("round");
  error.cause = error;
  log.error({ err: error }, "failed");
  expect(lines()).toHaveLength(1);
});

it.each(["process.exit(0)", ""])("flushes to stdout when the process ends with %j", (ending) => {
  const module = fileURLToPath(new URL("../../src/telemetry/log.ts", import.meta.url));
  const program = `
    import { createLogger } from ${JSON.stringify(module)};
    const log = createLogger({ level: "info" });
    for (let i = 0; i < 1000; i += 1) log.info({ i }, "line");
    ${ending}`;
  const child = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    encoding: "utf8",
  });
  const lines = child.stdout.trim().split("\n");
  expect(child.stderr).toBe("");
  expect(lines).toHaveLength(1000);
  expect(JSON.parse(lines[999] ?? "")).toMatchObject({ i: 999, msg: "line" });
});
