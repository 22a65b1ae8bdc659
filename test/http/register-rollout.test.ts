import { execFileSync } from "node:child_process";
import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { type RegistrationSettings, registerRollout } from "../../src/http/register-rollout.ts";
import { createJobCheck } from "../../src/identity/job-policy.ts";
import { Ledger } from "../../src/rollouts/ledger.ts";
import { viewRollout } from "../../src/rollouts/rollout-view.ts";
import { call, type Exchange, serveRoutes } from "./serve-routes.ts";

const jobArn = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/one";
const otherJob = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/two";
const jobHeader = (arn: string) => ({ "x-amzn-sagemaker-job-arn": arn });

async function setUp(changes: Partial<RegistrationSettings> & { allowedJobs?: string[] } = {}) {
  const ledger = new Ledger();
  const { allowedJobs = [], ...rest } = changes;
  const settings: RegistrationSettings = {
    ledger,
    jobArn,
    checkJob: createJobCheck(allowedJobs, changes.jobArn === undefined ? jobArn : changes.jobArn),
    publicUrl: () => "http://127.0.0.1:8484",
    asksForKey: false,
    ...rest,
  };
  const app = new Hono<{ Bindings: { incoming: never } }>();
  app.post("/rollouts", async (c) => c.json(await registerRollout(c.env.incoming, settings)));
  const url = await serveRoutes(app as never);
  return { ledger, ask: (exchange: Exchange) => call(`${url}/rollouts`, exchange) };
}

describe("POST /rollouts", () => {
  it("answers with all an agent has to set", async () => {
    const { ask } = await setUp();
    const answer = await ask({ body: { id: "a/b 1", job_arn: otherJob } });
    expect(answer.status).toBe(200);
    const headers = `X-Amzn-SageMaker-Job-Arn: ${otherJob}\nX-Amzn-SageMaker-Trajectory-Id: a/b 1`;
    expect(answer.json).toEqual({
      id: "a/b 1",
      job_arn: otherJob,
      base_url: "http://127.0.0.1:8484/rollouts/a%2Fb%201/v1",
      api_key: "rollout-a/b 1",
      prompt: null,
      instance: null,
      inference_params: null,
      model: null,
      env: {
        OPENAI_BASE_URL: "http://127.0.0.1:8484/rollouts/a%2Fb%201/v1",
        OPENAI_API_KEY: "rollout-a/b 1",
        OPENAI_CUSTOM_HEADERS: headers,
      },
      shell: `export OPENAI_BASE_URL='http://127.0.0.1:8484/rollouts/a%2Fb%201/v1'\nexport OPENAI_API_KEY='rollout-a/b 1'\nexport OPENAI_CUSTOM_HEADERS='${headers}'\n`,
      ignored_fields: [],
    });
  });

  it.each(["plain", 'it\'s $(touch x) `y` "z" \\ ;&|', "'''"])(
    "gives lines that a shell takes as they are meant, for the id %j",
    async (id) => {
      const { ask } = await setUp();
      const { json } = await ask({ body: { id } });
      const script = `${json.shell}printf '%s\\0' "$OPENAI_BASE_URL" "$OPENAI_API_KEY" "$OPENAI_CUSTOM_HEADERS"`;
      const said = execFileSync("sh", ["-c", script]).toString().split("\0");
      expect(said.slice(0, 3)).toEqual(Object.values(json.env));
    },
  );

  it("gives no key where turnpike asks for one: the agent keeps its own", async () => {
    const { ask } = await setUp({ asksForKey: true });
    const { json } = await ask({ body: { id: "t-1" } });
    expect(json.api_key).toBeNull();
    expect(Object.keys(json.env)).toEqual(["OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS"]);
    expect(json.shell).not.toContain("OPENAI_API_KEY");
  });

  it("keeps the inference parameters with the rollout, and shows them", async () => {
    const { ask, ledger } = await setUp();
    const body = { id: "t-1", inferenceParams: { temperature: 0, topP: 0.9, maxTokens: 64 } };
    const { json } = await ask({ body });
    const params = { temperature: 0, top_p: 0.9, max_tokens: 64 };
    expect(json.inference_params).toEqual(params);
    expect(ledger.samplingOf("t-1")).toEqual({ temperature: 0, topP: 0.9, maxTokens: 64 });
    const [rollout] = ledger.find("t-1");
    expect(rollout && viewRollout(rollout).inference_params).toEqual(params);
  });

  it("gives the same request the same answer again, also with other fields that have no effect", async () => {
    const { ask } = await setUp();
    const body = { id: "t-1", prompt: "2 + 2", inference_params: { temperature: 1 } };
    const first = await ask({ body });
    const again = await ask({ body: { ...body, attempt: 2 } });
    expect(again.status).toBe(200);
    expect(again.json).toEqual({ ...first.json, ignored_fields: ["attempt"] });
  });

  it.each([
    [{ job_arn: otherJob }, "job_arn", `is registered for ${jobArn} already`],
    [{ prompt: "2 + 3" }, "id", "with another prompt or other inference parameters"],
    [{ inference_params: { temperature: 0 } }, "id", "Use another id for another rollout"],
    [{ instance: { x: 1 } }, "id", "is registered already"],
  ])("answers 409 to the same id with %j", async (change, param, message) => {
    const { ask, ledger } = await setUp();
    const body = {
      id: "t-1",
      job_arn: jobArn,
      prompt: "2 + 2",
      inference_params: { temperature: 1 },
    };
    await ask({ body });
    const answer = await ask({ body: { ...body, ...change } });
    expect(answer.status).toBe(409);
    expect(answer.headers["x-should-retry"]).toBe("false");
    expect(answer.json.error).toMatchObject({ code: "rollout_conflict", param });
    expect(answer.json.error.message).toContain(message);
    expect(ledger.samplingOf("t-1")).toEqual({ temperature: 1 });
  });

  it.each([
    [{ id: "t" }, {}, jobArn],
    [{ id: "t", job_arn: null }, {}, jobArn],
    [{ id: "t" }, jobHeader(otherJob), otherJob],
    [{ id: "t", job_arn: otherJob }, jobHeader(otherJob), otherJob],
    [{ metadata: { rolloutId: "t", jobArn: otherJob } }, {}, otherJob],
  ])(
    "takes the job of %j with %j from body, header or configuration",
    async (body, headers, job) => {
      const { ask, ledger } = await setUp();
      expect((await ask({ body, headers })).json.job_arn).toBe(job);
      expect(ledger.registeredJobArn("t")).toBe(job);
    },
  );

  it("names the fields that had no effect", async () => {
    const { ask } = await setUp();
    const body = {
      id: "t-1",
      prompt: "hi",
      extra: 1,
      metadata: { jobId: "j", experimentId: "e" },
      inference_params: { top_k: 3 },
    };
    expect((await ask({ body })).json.ignored_fields).toEqual([
      "extra",
      "metadata.jobId",
      "metadata.experimentId",
      "inference_params.top_k",
    ]);
  });

  it("refuses a job that is not allowed, and says how to name one where there is none", async () => {
    const { ask } = await setUp({ jobArn: null, allowedJobs: [otherJob] });
    const forbidden = await ask({ body: { id: "t", job_arn: jobArn } });
    expect([forbidden.status, forbidden.json.error.code]).toEqual([403, "job_not_allowed"]);
    const missing = await ask({ body: { id: "t" } });
    expect(missing.json.error.code).toBe("missing_identity");
    expect(missing.json.error.message).toContain("Name it by `job_arn`");
  });

  it.each(["[]", '"t"', "{"])("refuses %s, which is no object", async (body) => {
    const { ask } = await setUp();
    const answer = await ask({ body });
    expect([answer.status, answer.json.error.code]).toEqual([400, "invalid_json"]);
  });

  it("reads 4 MiB at most, declared or not", async () => {
    const { ask, ledger } = await setUp();
    const body = { id: "t-1", prompt: "x".repeat(4_194_304) };
    for (const headers of [{}, { "transfer-encoding": "chunked" }]) {
      const answer = await ask({ body, headers });
      expect(answer.status).toBe(413);
      expect(answer.json.error.message).toContain("more than 4194304 bytes");
    }
    expect(ledger.size).toBe(0);
  });
});
