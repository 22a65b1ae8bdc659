import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import type { FaultRule } from "../../src/simulator/fault-rules.ts";
import { lifecycle, sample, startTestSimulator, testJobArn } from "../support/simulator.ts";
import { type ReadFrame, readFrames } from "./frames-of.ts";

const start = (...faults: FaultRule[]) => startTestSimulator({ faults });
type Running = Awaited<ReturnType<typeof start>>;

const turnsOf = (simulator: Running) => simulator.trajectory(testJobArn, "t")?.turns ?? [];

async function framesOfStream(simulator: Running): Promise<ReadFrame[]> {
  const response = await sample(simulator, "t", { stream: true });
  return readFrames(new Uint8Array(await response.arrayBuffer()));
}

/** What of a response's body arrives before it ends or breaks. */
async function readUntilBroken(
  response: Response,
): Promise<{ bytes: Uint8Array; isBroken: boolean }> {
  const parts: Uint8Array[] = [];
  try {
    for await (const part of response.body ?? []) parts.push(part);
    return { bytes: Buffer.concat(parts), isBroken: false };
  } catch {
    return { bytes: Buffer.concat(parts), isBroken: true };
  }
}

test.for([
  ["throttle", 429, "ThrottlingException"],
  ["internal-error", 500, "InternalServiceError"],
  ["unavailable", 503, "ServiceUnavailable"],
  ["access-denied", 403, "AccessDeniedException"],
  ["expired-token", 403, "ExpiredTokenException"],
  ["quota", 402, "ServiceQuotaExceededException"],
  ["validation", 400, "ValidationException"],
  ["not-found", 404, "ResourceNotFoundException"],
  ["conflict", 409, "ConflictException"],
] as const)("%s is answered with %i %s and captures nothing", async ([kind, status, type]) => {
  await using simulator = await start({ kind, times: 1, message: "Said so." });
  const response = await sample(simulator, "t");
  expect(response.status).toBe(status);
  expect(response.headers.get("x-amzn-errortype")).toBe(type);
  expect(await response.json()).toEqual({ __type: type, Message: "Said so." });
  expect(turnsOf(simulator)).toEqual([]);
  expect((await sample(simulator, "t")).status).toBe(200);
  expect(simulator.stats()).toMatchObject({ faults: { [kind]: 1 }, errors: { [type]: 1 } });
});

test("a throttle can say when to come back", async () => {
  await using simulator = await start({ kind: "throttle", retryAfterSeconds: 2 });
  expect((await sample(simulator, "t")).headers.get("retry-after")).toBe("2");
});

test("an unavailable service can answer as its load balancer does", async () => {
  await using simulator = await start({ kind: "unavailable", html: true });
  const response = await sample(simulator, "t");
  expect(response.status).toBe(503);
  expect(response.headers.get("content-type")).toBe("text/html");
  expect(response.headers.get("x-amzn-errortype")).toBeNull();
  expect(await response.text()).toContain("503 Service Unavailable");
});

test("a rule holds for its operations, its trajectories, and no more often than it says", async () => {
  await using simulator = await start(
    { kind: "throttle", operations: ["UpdateReward"] },
    { kind: "quota", trajectory: "a-*", after: 1, times: 1 },
  );
  const statuses = [];
  for (const id of ["b-1", "a-1", "a-2", "a-3"]) {
    statuses.push((await sample(simulator, id)).status);
  }
  expect(statuses).toEqual([200, 200, 402, 200]);
  const reward = await lifecycle(simulator, "update-reward", { TrajectoryId: "b-1", Rewards: [1] });
  expect(reward.status).toBe(429);
});

test("a probability hits the same requests with the same seed", async () => {
  const outcomes = async (faultSeed: number) => {
    await using simulator = await startTestSimulator({
      faults: [{ kind: "throttle", probability: 0.5 }],
      faultSeed,
    });
    const statuses = [];
    for (let turn = 0; turn < 30; turn += 1) statuses.push((await sample(simulator, "t")).status);
    return statuses;
  };
  const first = await outcomes(7);
  expect(await outcomes(7)).toEqual(first);
  expect(await outcomes(8)).not.toEqual(first);
  expect(first.filter((status) => status === 429).length).toBeGreaterThan(5);
  expect(first.filter((status) => status === 200).length).toBeGreaterThan(5);
});

test("a reset before the capture leaves no turn", async () => {
  await using simulator = await start({ kind: "reset-before-capture" });
  await expect(sample(simulator, "t")).rejects.toThrow("fetch failed");
  await simulator.waitFor("finished");
  expect(turnsOf(simulator)).toEqual([]);
  expect(simulator.stats().disconnects.total).toBe(0);
});

test.for([false, true])("a reset after the capture leaves a turn, stream: %s", async (stream) => {
  await using simulator = await start({ kind: "reset-after-capture" });
  await expect(sample(simulator, "t", { stream })).rejects.toThrow("fetch failed");
  await simulator.waitFor("finished");
  expect(turnsOf(simulator)).toMatchObject([
    { outcome: "fault", faults: ["reset-after-capture"], firstByteAt: null },
  ]);
});

test("a lifecycle call reset before its effect has none, reset after it has", async () => {
  await using simulator = await start(
    { kind: "reset-before-capture", operations: ["CompleteRollout"], times: 1 },
    { kind: "reset-after-capture", operations: ["CompleteRollout"], after: 1, times: 1 },
  );
  const members = { TrajectoryId: "t", ClientToken: "c" };
  await expect(lifecycle(simulator, "complete-rollout", members)).rejects.toThrow("fetch failed");
  expect(simulator.trajectory(testJobArn, "t")).toBeUndefined();
  await expect(lifecycle(simulator, "complete-rollout", members)).rejects.toThrow("fetch failed");
  expect(simulator.trajectory(testJobArn, "t")?.state).toBe("READY");
  expect((await lifecycle(simulator, "complete-rollout", members)).status).toBe(200);
});

test.for([0, 1, 100, 333])("a stream is reset after %i bytes of its body", async (byte) => {
  await using simulator = await start({ kind: "reset-at-byte", byte });
  const response = await sample(simulator, "t", { stream: true });
  expect(response.status).toBe(200);
  const { bytes, isBroken } = await readUntilBroken(response);
  expect({ length: bytes.length, isBroken }).toEqual({ length: byte, isBroken: true });
  await simulator.waitFor("finished");
  expect(turnsOf(simulator)).toMatchObject([{ outcome: "fault", faults: ["reset-at-byte"] }]);
});

test("a whole answer is reset in its middle, too", async () => {
  await using simulator = await start({ kind: "reset-at-byte", byte: 20 });
  const { bytes, isBroken } = await readUntilBroken(await sample(simulator, "t"));
  expect({ length: bytes.length, isBroken }).toEqual({ length: 20, isBroken: true });
});

test("an exception frame as the first frame comes alone", async () => {
  await using simulator = await start({ kind: "exception-frame", event: 0 });
  expect(await framesOfStream(simulator)).toMatchObject([
    {
      headers: {
        ":message-type": "exception",
        ":exception-type": "ModelStreamError",
        ":content-type": "application/json",
      },
      text: '{"Message":"The model failed while it was answering."}',
    },
  ]);
});

test("an exception frame in mid-stream ends it", async () => {
  await using simulator = await start({
    kind: "exception-frame",
    event: 3,
    exception: "ThrottlingException",
    message: "Slow down.",
  });
  const frames = await framesOfStream(simulator);
  expect(frames.length).toBe(4);
  expect(frames[2]?.headers[":message-type"]).toBe("event");
  expect(frames[3]).toMatchObject({
    headers: { ":exception-type": "ThrottlingException" },
    text: '{"Message":"Slow down."}',
  });
  await simulator.waitFor("finished");
  expect(turnsOf(simulator)).toMatchObject([{ outcome: "fault", faults: ["exception-frame"] }]);
});

test("an error frame carries code and message in its headers", async () => {
  await using simulator = await start({ kind: "error-frame", event: 1, code: "Boom" });
  expect((await framesOfStream(simulator)).at(-1)?.headers).toEqual({
    ":message-type": "error",
    ":error-code": "Boom",
    ":error-message": "An internal server error occurred.",
  });
});

test.for(["prelude", "message"] as const)(
  "the checksum of the %s is wrong, alone",
  async (part) => {
    await using simulator = await start({ kind: "corrupt-crc", event: 0, part });
    const response = await sample(simulator, "t", { stream: true });
    const bytes = Buffer.from(await response.arrayBuffer());
    const frame = bytes.subarray(0, bytes.readUInt32BE(0));
    const isPreludeRight = crc32(frame.subarray(0, 8)) === frame.readUInt32BE(8);
    const isMessageRight = crc32(frame.subarray(0, -4)) === frame.readUInt32BE(frame.length - 4);
    expect({ isPreludeRight, isMessageRight }).toEqual({
      isPreludeRight: part === "message",
      isMessageRight: part === "prelude",
    });
    const rest = readFrames(new Uint8Array(bytes.subarray(frame.length)));
    expect(rest.at(-1)?.text).toBe("data: [DONE]\n\n");
  },
);

test.for([
  ["end", false],
  ["reset", true],
] as const)("a truncated frame ends the body inside it, by %s", async ([ending, isBroken]) => {
  await using simulator = await start({ kind: "truncate-frame", event: 1, bytes: 30, ending });
  const read = await readUntilBroken(await sample(simulator, "t", { stream: true }));
  const first = Buffer.from(read.bytes).readUInt32BE(0);
  expect(read.bytes.length).toBe(first + 30);
  expect(read.isBroken).toBe(isBroken);
});

test("an oversize frame declares more than it has and then there is silence", async () => {
  await using simulator = await start({ kind: "oversize-frame", event: 0, declaredBytes: 2 ** 31 });
  const response = await sample(simulator, "t", { stream: true });
  const reader = response.body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  expect(Buffer.from(value ?? []).readUInt32BE(0)).toBe(2 ** 31);
  await reader?.cancel();
  expect((await simulator.waitFor("client-left")).window).toBe("mid-stream");
});

test("a stream that ends early ends properly, without [DONE]", async () => {
  await using simulator = await start({ kind: "end-early" });
  const frames = await framesOfStream(simulator);
  expect(frames.at(-1)?.text).toContain('"finish_reason":"stop"');
  simulator.setFaults([{ kind: "end-early", event: 2 }]);
  expect((await framesOfStream(simulator)).length).toBe(2);
});

test("a never-ending stream goes on until the client leaves", async () => {
  await using simulator = await start({ kind: "never-ending", intervalMs: 1 });
  const response = await sample(simulator, "t", { stream: true });
  let text = "";
  for await (const part of response.body ?? []) {
    text += Buffer.from(part).toString("latin1");
    if (text.split('"and "').length > 20) break;
  }
  expect(text).not.toContain("[DONE]");
  const left = await simulator.waitFor("client-left");
  expect(left.window).toBe("mid-stream");
  await simulator.waitFor("finished");
  expect(turnsOf(simulator)).toMatchObject([{ outcome: "client-left", clientLeft: "mid-stream" }]);
});

test("on a wire without frames an exception is an error event", async () => {
  await using simulator = await startTestSimulator({
    stream: { wire: "sse" },
    faults: [{ kind: "exception-frame", event: 1, message: "Broken." }],
  });
  const text = await (await sample(simulator, "t", { stream: true })).text();
  expect(text.trimEnd().split("\n\n").at(-1)).toBe(
    'data: {"error":{"message":"Broken.","type":"ModelStreamError","code":"ModelStreamError"}}',
  );
});

test("a skewed clock shows in the Date header and refuses what is right by ours", async () => {
  await using simulator = await start({ kind: "clock-skew", ms: 3_600_000, times: 1 });
  const before = Date.now();
  const response = await sample(simulator, "t");
  expect(response.headers.get("x-amzn-errortype")).toBe("InvalidSignatureException");
  const serviceTime = Date.parse(response.headers.get("date") ?? "");
  expect(serviceTime).toBeGreaterThan(before + 3_590_000);
  expect(((await response.json()) as { Message: string }).Message).toMatch(/^Signature expired:/u);
  expect((await sample(simulator, "t")).status).toBe(200);
});

test("a delay and an error may come together", async () => {
  await using simulator = await start({ kind: "delay-headers", ms: 5 }, { kind: "internal-error" });
  expect((await sample(simulator, "t")).status).toBe(500);
  expect(simulator.stats().faults).toEqual({ "delay-headers": 1, "internal-error": 1 });
});

test("a rule that is not one is refused with everything that is wrong", async () => {
  await using simulator = await start();
  const wrong = [
    { kind: "throttle", probability: 2 },
    { kind: "exception-frame" },
    { kind: "stall", event: 0, evnet: 1 },
  ] as unknown as FaultRule[];
  const refused = () => simulator.setFaults(wrong);
  expect(refused).toThrow(/at \[0\]\.probability/u);
  expect(refused).toThrow(/at \[1\]\.event/u);
  expect(refused).toThrow(/"evnet"/u);
});
