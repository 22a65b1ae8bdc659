import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/errors.ts";
import { createJobCheck } from "../../src/identity/job-policy.ts";
import {
  type RequestContext,
  readRolloutRequest,
} from "../../src/rollout-requests/rollout-request.ts";

const jobArn = "arn:aws:sagemaker:us-west-2:123456789012:job/AgentRFT/one";
const otherJob = "arn:aws:sagemaker:eu-west-1:123456789012:job/AgentRFT/two";
const service = "https://job-runtime.sagemaker.us-west-2.api.aws";

function read(body: Record<string, unknown>, context: Partial<RequestContext> = {}) {
  return readRolloutRequest(body, {
    jobArn: null,
    checkJob: createJobCheck([], null),
    endpoint: null,
    jobArnHeader: undefined,
    ...context,
  });
}

function refusal(
  body: Record<string, unknown>,
  context: Partial<RequestContext> = {},
): GatewayError {
  try {
    read(body, context);
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

const sampling = { temperature: 0.5, topP: 0.9, maxTokens: 100 };

describe("the dialects of rollout requests", () => {
  it("the developer guide's", () => {
    const body = {
      prompt: "What is 2 + 2?",
      metadata: { jobArn, rolloutId: "r-1" },
      inferenceParams: { temperature: 0.5, topP: 0.9, maxTokens: 100 },
    };
    expect(read(body)).toEqual({
      trajectoryId: "r-1",
      jobArn,
      prompt: "What is 2 + 2?",
      instance: null,
      sampling,
      model: null,
      ignoredFields: [],
    });
  });

  it("the SDK's models", () => {
    const instance = { prompt: "What is 2 + 2?", answer: "4" };
    const body = {
      instance,
      metadata: { job_arn: jobArn, trajectory_id: "r-1", endpoint: service, region: "us-west-2" },
      inference_params: { temperature: 0.5, max_tokens: 100, top_p: 0.9 },
      model_name: "default",
      model_endpoint: null,
    };
    expect(read(body)).toEqual({
      trajectoryId: "r-1",
      jobArn,
      prompt: "What is 2 + 2?",
      instance,
      sampling,
      model: "default",
      ignoredFields: [],
    });
  });

  it.each([
    { job_arn: jobArn, trajectory_id: "r-1" },
    { jobArn, trajectoryId: "r-1" },
    { jobArn, rolloutId: "r-1" },
    { job_arn: jobArn, jobArn, trajectory_id: "r-1", rolloutId: "r-1" },
  ])("the SDK's header helper: %j", (metadata) => {
    expect(read({ metadata })).toMatchObject({ trajectoryId: "r-1", jobArn, ignoredFields: [] });
  });

  it("the notebook's forwarder, which names no ARN: the configured job", () => {
    const metadata = { jobId: "one", experimentId: "e", rolloutId: "r-1" };
    expect(read({ prompt: "x", metadata }, { jobArn })).toMatchObject({
      trajectoryId: "r-1",
      jobArn,
      ignoredFields: ["metadata.jobId", "metadata.experimentId"],
    });
    expect(refusal({ prompt: "x", metadata }).message).toContain(
      "No job is known for this rollout (`metadata.jobId` is no ARN, and says no region).",
    );
  });

  it("turnpike's own", () => {
    expect(read({ id: "r-1", job_arn: jobArn })).toMatchObject({ trajectoryId: "r-1", jobArn });
  });
});

describe("prompts", () => {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hi" },
  ];
  it.each<[string, unknown, unknown]>([
    ["a text stays a text", "Hi", "Hi"],
    ["messages stay messages", messages, messages],
    ["messages in JSON become messages", JSON.stringify(messages), messages],
    ["a request in JSON becomes its messages", JSON.stringify({ messages, model: "x" }), messages],
    ["JSON that is no conversation stays a text", '[1, {"a": 2}]', '[1, {"a": 2}]'],
    ["an empty list in a text stays a text", "[]", "[]"],
    ["what only looks like JSON stays a text", "{x} is a set", "{x} is a set"],
  ])("%s", (_what, given, read_) => {
    expect(read({ id: "r", prompt: given }, { jobArn }).prompt).toEqual(read_);
    expect(read({ id: "r", instance: { prompt: given } }, { jobArn }).prompt).toEqual(read_);
  });

  it("are found among an instance's messages, and are null where it has none", () => {
    expect(read({ id: "r", instance: { messages } }, { jobArn }).prompt).toEqual(messages);
    expect(read({ id: "r", instance: { question: "?" } }, { jobArn }).prompt).toBeNull();
  });
});

describe("an endpoint in a rollout request", () => {
  const configured = "http://127.0.0.1:8485";
  it.each([
    service,
    `${service}/v1`,
    "job-runtime.sagemaker.us-west-2.api.aws",
    "https://job-runtime.sagemaker-fips.us-west-2.api.aws",
    "http://127.0.0.1:8485/v1",
  ])("passes when it is where the calls would go anyway: %s", (endpoint) => {
    const body = { metadata: { jobArn, rolloutId: "r", endpoint } };
    expect(read(body, { endpoint: configured }).trajectoryId).toBe("r");
  });

  it.each([
    "https://evil.example",
    "http://job-runtime.sagemaker.us-west-2.api.aws",
    "https://job-runtime.sagemaker.eu-west-1.api.aws",
    "https://job-runtime.sagemaker.us-west-2.api.aws.evil.example",
    "https://job-runtime.sagemaker.us-west-2.api.aws:8443",
    "https://user@job-runtime.sagemaker.us-west-2.api.aws",
    "http://169.254.169.254/latest",
    "http://user:pass@127.0.0.1:8485",
    "http://127.0.0.1:1",
    "::",
  ])("is refused by name otherwise: %s", (endpoint) => {
    for (const body of [
      { metadata: { jobArn, rolloutId: "r", endpoint } },
      { metadata: { jobArn, rolloutId: "r" }, model_endpoint: endpoint },
    ]) {
      const error = refusal(body, { endpoint: configured });
      expect(error.message).toContain(
        `is ${JSON.stringify(endpoint)}, which is not the service's own host for us-west-2, ${service}, and not the configured one, ${configured}: calls to it would carry turnpike's credentials.`,
      );
      expect(error).toMatchObject({ code: "invalid_request", status: 400 });
    }
  });

  it("is refused with a region that is not the job's", () => {
    const body = { metadata: { jobArn, rolloutId: "r", region: "eu-west-1" } };
    expect(refusal(body).message).toBe(
      '`metadata.region` says "eu-west-1", but the job is in us-west-2. Leave it out, or name the right job.',
    );
  });
});

describe("a rollout request that cannot be read", () => {
  it.each<[Record<string, unknown>, string, string]>([
    [{ job_arn: jobArn }, "invalid_request", "`id` is missing; it must be the trajectory's id"],
    [{ id: 7, job_arn: jobArn }, "invalid_request", "`id` is 7; it must be a text."],
    [{ id: "", job_arn: jobArn }, "invalid_identity", "The trajectory id in `id` is empty"],
    [
      { metadata: { rolloutId: "é", jobArn } },
      "invalid_identity",
      'The trajectory id in `metadata.rolloutId` has "é" (U+00E9) at position 1',
    ],
    [{ id: "..", job_arn: jobArn }, "invalid_identity", "which URLs resolve away"],
    [
      { id: "a", metadata: { rolloutId: "b", jobArn } },
      "invalid_request",
      '`id` says "a", but `metadata.rolloutId` says "b"; leave one out.',
    ],
    [
      { id: "a", job_arn: jobArn, jobArn: otherJob },
      "invalid_request",
      `\`job_arn\` says "${jobArn}", but \`jobArn\` says "${otherJob}"`,
    ],
    [{ id: "a", job_arn: 1 }, "invalid_request", "`job_arn` is 1; it must be a text."],
    [
      { id: "a", job_arn: "one" },
      "invalid_identity",
      'The job ARN in `job_arn`, "one", is not one',
    ],
    [{ id: "a" }, "missing_identity", "No job is known for this rollout. Name it by `job_arn`"],
    [
      { id: "a", job_arn: jobArn, metadata: "x" },
      "invalid_request",
      '`metadata` is the text "x"; it must be an object.',
    ],
    [
      { id: "a", job_arn: jobArn, instance: [] },
      "invalid_request",
      "`instance` is an empty list; it must be an object.",
    ],
    [
      { id: "a", job_arn: jobArn, prompt: 4 },
      "invalid_request",
      "`prompt` is 4; it must be a text or a list of messages",
    ],
    [
      { id: "a", job_arn: jobArn, prompt: [{}] },
      "invalid_request",
      "`prompt` is a list; it must be",
    ],
    [
      { id: "a", job_arn: jobArn, inference_params: 1 },
      "invalid_request",
      "`inference_params` is 1; it must be an object.",
    ],
    [
      { id: "a", job_arn: jobArn, inference_params: { temperature: -1 } },
      "invalid_request",
      "`inference_params.temperature` is -1; it must be a number of at least 0.",
    ],
    [
      { id: "a", job_arn: jobArn, inferenceParams: { topP: 2 } },
      "invalid_request",
      "`inferenceParams.topP` is 2; it must be a number from 0 to 1.",
    ],
    [
      { id: "a", job_arn: jobArn, inferenceParams: { maxTokens: "9" } },
      "invalid_request",
      '`inferenceParams.maxTokens` is the text "9"; it must be a whole number of at least 1.',
    ],
    [
      { id: "a", job_arn: jobArn, inferenceParams: { maxTokens: 9, max_tokens: 8 } },
      "invalid_request",
      "`inferenceParams.max_tokens` says 8, but `inferenceParams.maxTokens` says 9",
    ],
  ])("%j is %s: %s", (body, code, message) => {
    const error = refusal(body);
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  it("says that body and header disagree about the job", () => {
    const error = refusal({ id: "a", job_arn: jobArn }, { jobArnHeader: otherJob });
    expect(error).toMatchObject({ code: "conflicting_identity", status: 400 });
    expect(error.message).toContain(`\`job_arn\` says ${jobArn}, but the header`);
  });

  it("hears every problem at once", () => {
    const error = refusal({
      metadata: { rolloutId: "", jobArn: "one", endpoint: "https://evil.example" },
      inferenceParams: { temperature: "hot", topP: 7 },
      prompt: false,
    });
    expect(error).toMatchObject({ code: "invalid_request", status: 400, param: "trajectory_id" });
    expect(error.message).toMatch(
      /^The rollout request has 6 problems\. 1\. The trajectory id in `metadata\.rolloutId` is empty.* 2\. The job ARN.* 3\. `metadata\.endpoint`.* 4\. `inferenceParams\.temperature`.* 5\. `inferenceParams\.topP`.* 6\. `prompt` is false/,
    );
  });

  it("takes null for absent", () => {
    const body = {
      id: "a",
      job_arn: jobArn,
      prompt: null,
      instance: null,
      metadata: null,
      inference_params: { temperature: null },
      model_name: null,
    };
    expect(read(body)).toMatchObject({ prompt: null, sampling: {}, ignoredFields: [] });
  });
});
