import { expect, test } from "vitest";
import { lifecycle, sample, startTestSimulator, testJobArn } from "../support/simulator.ts";
import { readFrames } from "./frames-of.ts";

test("a turn is answered as a chat completion and captured", async () => {
  await using simulator = await startTestSimulator();
  const response = await sample(simulator, "t-1");
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/json");
  const completion = (await response.json()) as { object: string };
  expect(completion.object).toBe("chat.completion");
  const trajectory = simulator.trajectory(testJobArn, "t-1");
  expect(trajectory).toMatchObject({ state: "PENDING", turnCount: 1 });
  expect(trajectory?.turns[0]).toMatchObject({ sequence: 1, operation: "Sample" });
});

test("a stream comes as PayloadPart frames that hold SSE text", async () => {
  await using simulator = await startTestSimulator();
  const response = await sample(simulator, "t-1", { stream: true });
  expect(response.headers.get("content-type")).toBe("application/vnd.amazon.eventstream");
  const frames = readFrames(new Uint8Array(await response.arrayBuffer()));
  for (const frame of frames) {
    expect(frame.headers).toEqual({
      ":message-type": "event",
      ":event-type": "PayloadPart",
      ":content-type": "application/octet-stream",
    });
  }
  const text = frames.map((frame) => frame.text).join("");
  expect(text).toMatch(/^data: \{"id":"chatcmpl-/u);
  expect(text).toMatch(/data: \[DONE\]\n\n$/u);
});

test("completion and reward move a trajectory to REWARD_RECEIVED", async () => {
  await using simulator = await startTestSimulator();
  await sample(simulator, "t-1");
  const completed = await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t-1" });
  expect(completed.status).toBe(200);
  expect(await completed.text()).toBe("{}");
  expect(simulator.trajectory(testJobArn, "t-1")?.state).toBe("READY");
  const rewarded = await lifecycle(simulator, "update-reward", {
    TrajectoryId: "t-1",
    Rewards: [0.5],
  });
  expect(rewarded.status).toBe(200);
  expect(simulator.trajectory(testJobArn, "t-1")).toMatchObject({
    state: "REWARD_RECEIVED",
    rewards: [0.5],
  });
});
