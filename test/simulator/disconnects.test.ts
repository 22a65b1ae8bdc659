import { connect } from "node:net";
import { expect, test } from "vitest";
import type { FaultRule } from "../../src/simulator/fault-rules.ts";
import {
  lifecycle,
  sample,
  signedHeaders,
  startTestSimulator,
  testJobArn,
  trajectoryHeaders,
} from "../support/simulator.ts";

const cases: {
  readonly window: string;
  readonly stream: boolean;
  readonly fault: FaultRule;
  readonly isCaptured: boolean;
}[] = [
  {
    window: "before-headers",
    stream: true,
    fault: { kind: "delay-headers", ms: 60_000 },
    isCaptured: false,
  },
  {
    window: "before-headers",
    stream: true,
    fault: { kind: "delay-headers", ms: 60_000, captured: true },
    isCaptured: true,
  },
  {
    window: "before-first-frame",
    stream: true,
    fault: { kind: "delay-first-frame", ms: 60_000 },
    isCaptured: true,
  },
  { window: "mid-stream", stream: true, fault: { kind: "stall", event: 3 }, isCaptured: true },
  {
    window: "non-streaming",
    stream: false,
    fault: { kind: "delay-headers", ms: 60_000 },
    isCaptured: false,
  },
];

test.for(cases)(
  "a client that leaves is seen: $window, captured: $isCaptured",
  async ({ window, stream, fault, isCaptured }) => {
    await using simulator = await startTestSimulator({ faults: [fault] });
    const abort = new AbortController();
    const call = sample(simulator, "t", { stream, signal: abort.signal });
    const left = call.then((response) => response.arrayBuffer()).catch(() => "left");
    await simulator.waitFor("fault-injected");
    if (window === "before-first-frame" || window === "mid-stream") await call;
    abort.abort();
    expect(await left).toBe("left");
    const event = await simulator.waitFor("client-left");
    expect(event).toMatchObject({ window, trajectoryId: "t", jobArn: testJobArn });
    await simulator.waitFor("finished");
    expect(simulator.stats()).toMatchObject({
      openRequests: 0,
      disconnects: { total: 1, byWindow: { [window]: 1 } },
    });
    const turns = simulator.trajectory(testJobArn, "t")?.turns ?? [];
    expect(turns.map((turn) => turn.clientLeft)).toEqual(isCaptured ? [window] : []);
  },
);

test("a client that leaves a lifecycle call before its effect leaves no effect", async () => {
  await using simulator = await startTestSimulator({
    faults: [{ kind: "delay-headers", ms: 60_000 }],
  });
  const socket = connect(simulator.port, "127.0.0.1");
  const headers = await signedHeaders(simulator, {
    path: "/complete-rollout",
    headers: { "x-amzn-sagemaker-job-arn": testJobArn },
    body: '{"TrajectoryId":"t"}',
  });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.write(
    `POST /complete-rollout HTTP/1.1\r\n${lines.join("\r\n")}\r\ncontent-length: 20\r\n\r\n{"TrajectoryId":"t"}`,
  );
  await simulator.waitFor("fault-injected");
  socket.destroy();
  expect((await simulator.waitFor("client-left")).window).toBe("non-streaming");
  expect(simulator.trajectory(testJobArn, "t")).toBeUndefined();
  simulator.setFaults([]);
  expect((await lifecycle(simulator, "complete-rollout", { TrajectoryId: "t" })).status).toBe(200);
});

test("a client that leaves inside its request body is seen", async () => {
  await using simulator = await startTestSimulator();
  const socket = connect(simulator.port, "127.0.0.1");
  const headers = Object.entries(trajectoryHeaders("t")).map(
    ([name, value]) => `${name}: ${value}`,
  );
  // The server's "100 Continue" says that it has the headers; a reset before that would be no request at all.
  socket.once("data", () => socket.resetAndDestroy());
  socket.write(
    `POST /sample HTTP/1.1\r\nhost: x\r\n${headers.join("\r\n")}\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n{"mess`,
  );
  expect((await simulator.waitFor("client-left")).window).toBe("request-body");
});

test("closing ends open streams, frees the port and lets waiters know", async () => {
  const simulator = await startTestSimulator({ faults: [{ kind: "stall", event: 2 }] });
  const response = await sample(simulator, "t", { stream: true });
  const body = response.arrayBuffer();
  const never = simulator.waitFor("client-left");
  // Listened to before it happens, so that the rejections are not unhandled.
  const outcomes = Promise.allSettled([body, never]);
  await simulator.close();
  expect((await outcomes).map((outcome) => outcome.status)).toEqual(["rejected", "rejected"]);
  await expect(fetch(simulator.url)).rejects.toThrow("fetch failed");
  expect(simulator.trajectory(testJobArn, "t")?.turns[0]?.outcome).toBe("closed");
});
