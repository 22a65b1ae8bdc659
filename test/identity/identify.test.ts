import type { IncomingHttpHeaders } from "node:http";
import { describe, expect, it } from "vitest";
import {
  createIdentify,
  type IdentityRequest,
  type IdentitySettings,
} from "../../src/identity/identify.ts";

const job = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/one";
const otherJob = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/two";

function identifyWith(settings: Partial<IdentitySettings>, request: Partial<IdentityRequest>) {
  const identify = createIdentify({
    jobArn: job,
    trajectoryId: null,
    allowedJobs: [],
    madeTrajectoryId: null,
    bearerIsKey: false,
    registeredJobArn: () => undefined,
    ...settings,
  });
  return identify({ pathTrajectoryId: undefined, headers: {}, ...request });
}

const trajectory = (id: string): IncomingHttpHeaders => ({ "x-amzn-sagemaker-trajectory-id": id });
const jobArn = (arn: string): IncomingHttpHeaders => ({ "x-amzn-sagemaker-job-arn": arn });
const key = (value: string): IncomingHttpHeaders => ({ authorization: `Bearer ${value}` });

function refusal(code: string, ...parts: string[]) {
  return expect.objectContaining({
    code,
    message: expect.stringMatching(new RegExp(parts.map(escapePattern).join("[^]*"))),
  });
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

describe("the five ways to name a trajectory", () => {
  it("takes the base URL's path, decoded", () => {
    expect(identifyWith({}, { pathTrajectoryId: "a%20b" })).toEqual({
      jobArn: job,
      trajectoryId: "a b",
      source: "path",
    });
  });

  it("takes the header", () => {
    expect(identifyWith({}, { headers: trajectory("t-1") })).toMatchObject({
      trajectoryId: "t-1",
      source: "header",
    });
  });

  it.each(["rollout-t-1", "rollout-a%20b", "rollout-rollout-x", "rollout-a b"])(
    "takes the API key %s literally, without percent-decoding",
    (value) => {
      expect(identifyWith({}, { headers: key(value) })).toMatchObject({
        trajectoryId: value.slice("rollout-".length),
        source: "api-key",
      });
    },
  );

  it("takes the scheme of the Authorization header in any case", () => {
    const headers = { authorization: "bearer rollout-t" };
    expect(identifyWith({}, { headers }).trajectoryId).toBe("t");
  });

  it("takes the configured trajectory for requests that name none, whatever key they carry", () => {
    expect(identifyWith({ trajectoryId: "pod" }, { headers: key("sk-none") })).toMatchObject({
      trajectoryId: "pod",
      source: "configured",
    });
  });

  it("takes the trajectory made for the run last", () => {
    expect(identifyWith({ madeTrajectoryId: "dev-1" }, {})).toMatchObject({
      trajectoryId: "dev-1",
      source: "made",
    });
    expect(identifyWith({ madeTrajectoryId: "dev-1", trajectoryId: "pod" }, {}).source).toBe(
      "configured",
    );
  });

  it("prefers what the request names to what is configured", () => {
    expect(identifyWith({ trajectoryId: "pod" }, { headers: trajectory("t-1") }).trajectoryId).toBe(
      "t-1",
    );
  });

  it("reports the first way when several agree", () => {
    const headers = { ...trajectory("a b"), ...key("rollout-a b") };
    expect(identifyWith({}, { pathTrajectoryId: "a%20b", headers }).source).toBe("path");
    expect(identifyWith({}, { headers }).source).toBe("header");
  });

  it("takes a key that begins with rollout- for a key where keys are asked for", () => {
    expect(
      identifyWith({ bearerIsKey: true }, { pathTrajectoryId: "t", headers: key("rollout-other") }),
    ).toMatchObject({ trajectoryId: "t", source: "path" });
  });
});

describe("disagreement", () => {
  it("names both trajectories and where they stood", () => {
    expect(() => identifyWith({}, { pathTrajectoryId: "a", headers: trajectory("b") })).toThrow(
      refusal(
        "conflicting_identity",
        '"a" in the base URL\'s path',
        '"b" in the header X-Amzn-SageMaker-Trajectory-Id',
      ),
    );
    expect(() =>
      identifyWith({}, { headers: { ...trajectory("a"), ...key("rollout-b") } }),
    ).toThrow(refusal("conflicting_identity", '"a" in the header', '"b" in the API key'));
    expect(() => identifyWith({}, { pathTrajectoryId: "a", headers: key("rollout-b") })).toThrow(
      refusal("conflicting_identity", '"a"', '"b"'),
    );
  });

  it("refuses a trajectory header that was sent twice, which node joins into one", () => {
    const name = "X-Amzn-SageMaker-Trajectory-Id";
    const request = {
      headers: trajectory("a, b"),
      rawHeaders: [name, "a", name.toLowerCase(), "b"],
    };
    expect(() => identifyWith({}, request)).toThrow(
      refusal("conflicting_identity", `carries ${name} more than once ("a, b")`),
    );
  });

  it("takes an id with a comma in it when it was sent once", () => {
    const rawHeaders = ["X-Amzn-SageMaker-Trajectory-Id", "a, b"];
    expect(identifyWith({}, { headers: trajectory("a, b"), rawHeaders }).trajectoryId).toBe("a, b");
  });

  it("between the job header and the registered rollout names both jobs", () => {
    const settings = { registeredJobArn: () => job };
    expect(() =>
      identifyWith(settings, { headers: { ...trajectory("t"), ...jobArn(otherJob) } }),
    ).toThrow(refusal("conflicting_identity", otherJob, '"t" was registered for', job));
  });
});

describe("absence", () => {
  it("of a trajectory lists every way to name one", () => {
    expect(() => identifyWith({}, { headers: key("sk-anything") })).toThrow(
      refusal(
        "missing_identity",
        "OPENAI_BASE_URL=http://<turnpike>/rollouts/<trajectory>/v1",
        "X-Amzn-SageMaker-Trajectory-Id",
        "OPENAI_API_KEY=rollout-<trajectory>",
        "TURNPIKE_TRAJECTORY_ID",
      ),
    );
  });

  it("of a trajectory does not offer the API key where keys are asked for", () => {
    expect(() => identifyWith({ bearerIsKey: true }, {})).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("OPENAI_API_KEY") }),
    );
  });

  it("of a job lists every way to name one", () => {
    expect(() => identifyWith({ jobArn: null }, { pathTrajectoryId: "t" })).toThrow(
      refusal(
        "missing_identity",
        '"t"',
        "X-Amzn-SageMaker-Job-Arn",
        "POST /rollouts",
        "TURNPIKE_JOB_ARN",
      ),
    );
  });
});

describe("the job", () => {
  it("is the header's, else the registered rollout's, else the configured one", () => {
    const registeredJobArn = (id: string) => (id === "known" ? otherJob : undefined);
    const of = (id: string, headers: IncomingHttpHeaders = {}) =>
      identifyWith({ registeredJobArn }, { pathTrajectoryId: id, headers }).jobArn;
    expect(of("new", jobArn(otherJob))).toBe(otherJob);
    expect(of("known")).toBe(otherJob);
    expect(of("known", jobArn(otherJob))).toBe(otherJob);
    expect(of("new")).toBe(job);
  });

  it.each(["", "job", `${job}, ${job}`, `${job}\n`, job.replace("sagemaker", "s3")])(
    "refuses the header %j with an example",
    (arn) => {
      expect(() => identifyWith({}, { pathTrajectoryId: "t", headers: jobArn(arn) })).toThrow(
        refusal("invalid_identity", "X-Amzn-SageMaker-Job-Arn", "looks like arn:aws:sagemaker:"),
      );
    },
  );

  it("may be restricted, and the refusal says by what", () => {
    const settings = { jobArn: null, allowedJobs: [job] };
    const request = (arn: string) => ({ pathTrajectoryId: "t", headers: jobArn(arn) });
    expect(identifyWith(settings, request(job)).jobArn).toBe(job);
    expect(() => identifyWith(settings, request(otherJob))).toThrow(
      refusal("job_not_allowed", otherJob, "identity.allowed_jobs"),
    );
  });

  it("that is configured is allowed without being listed", () => {
    const settings = { jobArn: job, allowedJobs: [otherJob] };
    expect(identifyWith(settings, { pathTrajectoryId: "t" }).jobArn).toBe(job);
    expect(identifyWith(settings, { pathTrajectoryId: "t", headers: jobArn(job) }).jobArn).toBe(
      job,
    );
  });

  it("is checked again after another one has passed", () => {
    const identify = createIdentify({
      jobArn: null,
      trajectoryId: "t",
      allowedJobs: [job],
      madeTrajectoryId: null,
      bearerIsKey: false,
      registeredJobArn: () => undefined,
    });
    const ask = (arn: string) => identify({ pathTrajectoryId: undefined, headers: jobArn(arn) });
    expect(ask(job).jobArn).toBe(job);
    expect(() => ask(otherJob)).toThrow(refusal("job_not_allowed"));
    expect(ask(job).jobArn).toBe(job);
  });
});

describe("what could not become a header", () => {
  it.each<[string, Partial<IdentityRequest>]>([
    ["the header X-Amzn-SageMaker-Trajectory-Id is empty", { headers: trajectory("") }],
    // Node reads header bytes as latin1: this is "é" as a client sends it in UTF-8.
    [
      'the header X-Amzn-SageMaker-Trajectory-Id has "Ã" (U+00C3) at position 1',
      { headers: trajectory("Ã©") },
    ],
    ["the API key rollout-<trajectory> is empty", { headers: key("rollout-") }],
    ["the path, /rollouts/{trajectory}/…, is empty", { pathTrajectoryId: "" }],
  ])("is refused: %s", (message, request) => {
    expect(() => identifyWith({}, request)).toThrow(refusal("invalid_identity", message));
  });

  it("is refused at start-up where it is configured", () => {
    expect(() => identifyWith({ trajectoryId: "café" }, {})).toThrow(
      refusal("invalid_identity", "identity.trajectory_id (TURNPIKE_TRAJECTORY_ID)", "position 4"),
    );
  });
});
