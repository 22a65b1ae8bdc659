import { expect, test } from "vitest";
import {
  callSimulator,
  lifecycle,
  sample,
  startTestSimulator,
  testJobArn,
  trajectoryHeaders,
} from "../support/simulator.ts";

interface AwsError {
  readonly Message: string;
  readonly __type: string;
}

/** Status, type by header and by body, and message. */
async function refusal(response: Response) {
  const body = (await response.json()) as AwsError;
  expect(body.__type).toBe(response.headers.get("x-amzn-errortype"));
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(response.headers.get("x-amzn-requestid")).toBeTruthy();
  return { status: response.status, type: body.__type, message: body.Message };
}

test("a failed completion is final but takes one reward", async () => {
  await using simulator = await startTestSimulator();
  await sample(simulator, "t");
  await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t", Status: "failed" });
  const first = await lifecycle(simulator, "update-reward", { TrajectoryId: "t", Rewards: [0] });
  expect(first.status).toBe(200);
  expect(simulator.trajectory(testJobArn, "t")).toMatchObject({ state: "FAILED", rewards: [0] });
  const second = await lifecycle(simulator, "update-reward", { TrajectoryId: "t", Rewards: [1] });
  expect(await refusal(second)).toMatchObject({ status: 409, type: "ConflictException" });
  expect(simulator.trajectory(testJobArn, "t")?.rewards).toEqual([0]);
});

test("a reward before the completion is a conflict that names the state", async () => {
  await using simulator = await startTestSimulator();
  await sample(simulator, "t");
  const response = await lifecycle(simulator, "update-reward", { TrajectoryId: "t", Rewards: [1] });
  expect(await refusal(response)).toEqual({
    status: 409,
    type: "ConflictException",
    message: "Trajectory t is not in valid status for UpdateReward: PENDING.",
  });
});

test("a second completion is a conflict", async () => {
  await using simulator = await startTestSimulator();
  await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t" });
  const response = await lifecycle(simulator, "complete-rollout", {
    TrajectoryId: "t",
    Status: "failed",
  });
  expect(await refusal(response)).toEqual({
    status: 409,
    type: "ConflictException",
    message: "Cannot transition trajectory t from READY to FAILED.",
  });
});

test("a turn on a sealed trajectory is refused and not captured", async () => {
  await using simulator = await startTestSimulator();
  await sample(simulator, "t");
  await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t" });
  const answer = await refusal(await sample(simulator, "t"));
  expect(answer).toMatchObject({ status: 400, type: "ValidationException" });
  expect(answer.message).toContain("not in valid status");
  expect(simulator.trajectory(testJobArn, "t")?.turnCount).toBe(1);
});

test("the same ClientToken with the same content takes effect once", async () => {
  await using simulator = await startTestSimulator();
  await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t", ClientToken: "c-1" });
  const members = { TrajectoryId: "t", Rewards: [0.25], ClientToken: "r-1" };
  const answers = [
    await lifecycle(simulator, "update-reward", members),
    await lifecycle(simulator, "update-reward", members),
    await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t", ClientToken: "c-1" }),
  ];
  expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
  expect(simulator.trajectory(testJobArn, "t")).toMatchObject({
    state: "REWARD_RECEIVED",
    clientTokens: ["c-1", "r-1"],
    lifecycle: [
      { operation: "CompleteRollout", applied: true, timesSeen: 2, timesRefused: 0 },
      { operation: "UpdateReward", applied: true, timesSeen: 2, rewards: [0.25] },
    ],
  });
});

test("the same ClientToken with other content is a conflict", async () => {
  await using simulator = await startTestSimulator();
  await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t" });
  await lifecycle(simulator, "update-reward", {
    TrajectoryId: "t",
    Rewards: [1],
    ClientToken: "r",
  });
  const response = await lifecycle(simulator, "update-reward", {
    TrajectoryId: "t",
    Rewards: [2],
    ClientToken: "r",
  });
  expect(await refusal(response)).toEqual({
    status: 409,
    type: "ConflictException",
    message: "ClientToken r was already used for another UpdateReward request.",
  });
});

test("a ClientToken whose request was refused can be used again", async () => {
  await using simulator = await startTestSimulator();
  const reward = { TrajectoryId: "t", Rewards: [1], ClientToken: "r" };
  expect((await lifecycle(simulator, "update-reward", reward)).status).toBe(409);
  await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t" });
  expect((await lifecycle(simulator, "update-reward", reward)).status).toBe(200);
});

test("a completion makes a trajectory never seen exist, unless told to answer not found", async () => {
  await using creating = await startTestSimulator();
  const created = await lifecycle(creating, "complete-rollout", { TrajectoryId: "new" });
  expect(created.status).toBe(200);
  expect(creating.trajectory(testJobArn, "new")).toMatchObject({ state: "READY", turnCount: 0 });
  await using refusing = await startTestSimulator({ unknownTrajectory: "not-found" });
  const refused = await lifecycle(refusing, "complete-rollout", { TrajectoryId: "new" });
  expect(await refusal(refused)).toMatchObject({ status: 404, type: "ResourceNotFoundException" });
});

test("a job that does not exist is not found", async () => {
  await using simulator = await startTestSimulator({
    acceptUnknownJobs: false,
    jobs: ["arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/other"],
  });
  expect(await refusal(await sample(simulator, "t"))).toMatchObject({
    status: 404,
    type: "ResourceNotFoundException",
  });
});

test("the same trajectory id in two jobs is two trajectories", async () => {
  await using simulator = await startTestSimulator();
  const otherJob = testJobArn.replace("test-job", "other-job");
  await sample(simulator, "t");
  await callSimulator(simulator, {
    path: "/sample",
    headers: trajectoryHeaders("t", otherJob),
    body: '{"messages":[]}',
  });
  expect(simulator.trajectories().map((each) => [each.jobArn, each.turnCount])).toEqual([
    [testJobArn, 1],
    [otherJob, 1],
  ]);
});

test.for([
  [{}, "Value null at 'trajectoryId'"],
  [{ TrajectoryId: 7 }, "TrajectoryId must be a string, not a number."],
  [{ TrajectoryId: "" }, "Member must have length greater than or equal to 1"],
  [{ TrajectoryId: "x".repeat(257) }, "Member must have length less than or equal to 256"],
  [{ TrajectoryId: "t", Status: "done" }, "Member must satisfy enum value set: [ready, failed]"],
  [{ TrajectoryId: "t", Status: "READY" }, "Value 'READY' at 'status'"],
  [{ TrajectoryId: "t", ClientToken: "" }, "at 'clientToken'"],
] as const)("a completion with members %j is refused", async ([members, fragment]) => {
  await using simulator = await startTestSimulator();
  const answer = await refusal(await lifecycle(simulator, "complete-rollout", members));
  expect(answer).toMatchObject({ status: 400, type: "ValidationException" });
  expect(answer.message).toContain(fragment);
});

test.for([
  ["{}", "Value null at 'trajectoryId'"],
  ['{"TrajectoryId":"t"}', "Value null at 'rewards'"],
  ['{"TrajectoryId":"t","Rewards":0.5}', "Rewards must be a list, not a number."],
  ['{"TrajectoryId":"t","Rewards":["1"]}', "Rewards[0] must be a number, not a string."],
  ['{"TrajectoryId":"t","Rewards":[1,null]}', "Rewards[1] must be a number, not null."],
  ['{"TrajectoryId":"t","Rewards":[1e999]}', "Rewards[0] must be a finite number."],
  ['{"TrajectoryId":"t","Rewards":["NaN"]}', "Rewards[0] must be a number, not a string."],
  ['{"TrajectoryId":"t","Rewards":[]}', "at 'rewards'"],
  ["[1]", "The request body must be a JSON object."],
  ["{", "The request body is not valid JSON."],
  ["", "Value null at 'body'"],
] as const)("a reward with body %s is refused", async ([body, fragment]) => {
  await using simulator = await startTestSimulator();
  const response = await callSimulator(simulator, {
    path: "/update-reward",
    headers: { "content-type": "application/json", "x-amzn-sagemaker-job-arn": testJobArn },
    body,
  });
  const answer = await refusal(response);
  expect(answer).toMatchObject({ status: 400, type: "ValidationException" });
  expect(answer.message).toContain(fragment);
});

test.for([
  ["", "Value null at 'jobArn'"],
  ["arn:aws:sagemaker:us-east-1:1234:job/A/b", "Member must satisfy regular expression pattern"],
  [`${testJobArn}-`, "Member must satisfy regular expression pattern"],
  [`arn:aws:sagemaker:us-east-1:123456789012:job/${"a".repeat(250)}/b`, "length less than"],
] as const)("a job ARN of '%s' is refused", async ([arn, fragment]) => {
  await using simulator = await startTestSimulator();
  const response = await callSimulator(simulator, {
    path: "/sample",
    headers: trajectoryHeaders("t", arn),
    body: '{"messages":[]}',
  });
  expect((await refusal(response)).message).toContain(fragment);
});

test("a turn whose body is not JSON, or has no messages, is refused and not captured", async () => {
  await using simulator = await startTestSimulator();
  const bodies = ["not json", '"text"', "{}", ""];
  const answers = await Promise.all(
    bodies.map((body) =>
      callSimulator(simulator, { path: "/sample", headers: trajectoryHeaders("t"), body }),
    ),
  );
  expect(answers.map((answer) => answer.status)).toEqual([400, 400, 400, 400]);
  expect(simulator.trajectories()).toEqual([]);
});

test("a lifecycle call that is not JSON by its content type is an unsupported media type", async () => {
  await using simulator = await startTestSimulator();
  const response = await callSimulator(simulator, {
    path: "/complete-rollout",
    headers: { "content-type": "text/plain", "x-amzn-sagemaker-job-arn": testJobArn },
    body: '{"TrajectoryId":"t"}',
  });
  expect(await refusal(response)).toMatchObject({
    status: 415,
    type: "UnsupportedMediaTypeException",
  });
});

test.for([
  ["GET", "/sample"],
  ["POST", "/samples"],
  ["POST", "/sample/"],
  ["POST", "/v1/chat/completions"],
] as const)("%s %s is an unknown operation", async ([method, path]) => {
  await using simulator = await startTestSimulator();
  const response = await fetch(`${simulator.url}${path}`, { method });
  expect(await refusal(response)).toMatchObject({ status: 404, type: "UnknownOperationException" });
});

test("a trajectory id is read as what it is, nothing decoded", async () => {
  await using simulator = await startTestSimulator();
  await sample(simulator, "a%2Fb c?&;,=");
  expect(simulator.trajectory(testJobArn, "a%2Fb c?&;,=")?.turnCount).toBe(1);
});

test("many turns of one trajectory at once are all captured, each with its own number", async () => {
  await using simulator = await startTestSimulator();
  const answers = await Promise.all(Array.from({ length: 20 }, () => sample(simulator, "t")));
  expect(answers.every((answer) => answer.status === 200)).toBe(true);
  const sequences = simulator.trajectory(testJobArn, "t")?.turns.map((turn) => turn.sequence);
  expect(sequences).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
});

test("a body over the limit is answered, not cut", async () => {
  await using simulator = await startTestSimulator();
  const response = await fetch(`${simulator.url}/sample`, {
    method: "POST",
    body: new Uint8Array(32 * 1024 * 1024 + 1),
  });
  expect(await refusal(response)).toMatchObject({
    status: 413,
    type: "RequestEntityTooLargeException",
  });
});
