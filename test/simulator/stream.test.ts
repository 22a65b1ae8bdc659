import { expect, test } from "vitest";
import { sample, startTestSimulator, testJobArn } from "../support/simulator.ts";
import { payloadText, readFrames } from "./frames-of.ts";

async function bytesOf(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

/** The response of the trajectory's first turn as it was captured. */
function capturedText(
  simulator: Awaited<ReturnType<typeof startTestSimulator>>,
): string | undefined {
  const body = simulator.trajectory(testJobArn, "t")?.turns[0]?.response.body;
  return body !== undefined && "text" in body ? body.text : undefined;
}

test.for([0, 1, 2, 3, 7, 64, 1000, 100_000])(
  "payload slices of %i bytes join to the model's text, byte for byte",
  async (sliceBytes) => {
    await using simulator = await startTestSimulator({ stream: { sliceBytes } });
    const bytes = await bytesOf(await sample(simulator, "t", { stream: true }));
    const sizes = readFrames(bytes).map((frame) => frame.payload.length);
    if (sliceBytes > 0) expect(Math.max(...sizes)).toBeLessThanOrEqual(sliceBytes);
    expect(payloadText(bytes)).toContain("日本語");
    expect(payloadText(bytes)).toBe(capturedText(simulator));
  },
);

test("without slices each frame holds one whole SSE event", async () => {
  await using simulator = await startTestSimulator();
  const frames = readFrames(await bytesOf(await sample(simulator, "t", { stream: true })));
  expect(frames.length).toBeGreaterThan(5);
  for (const frame of frames) expect(frame.text).toMatch(/^data: [^\n]+\n\n$/u);
});

test.for([0, 1, 5])(
  "as SSE the stream is the model's text, in slices of %i",
  async (sliceBytes) => {
    await using simulator = await startTestSimulator({ stream: { wire: "sse", sliceBytes } });
    const response = await sample(simulator, "t", { stream: true });
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(await response.text()).toBe(capturedText(simulator));
  },
);

test("as json a stream request is answered with one completion", async () => {
  await using simulator = await startTestSimulator({ stream: { wire: "json" } });
  const response = await sample(simulator, "t", { stream: true });
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(await response.json()).toMatchObject({ object: "chat.completion" });
});

test("as bare-json each frame is one chunk of JSON without SSE lines, and there is no [DONE]", async () => {
  await using simulator = await startTestSimulator({ stream: { wire: "bare-json" } });
  const response = await sample(simulator, "t", { stream: true });
  expect(response.headers.get("content-type")).toBe("application/vnd.amazon.eventstream");
  for (const frame of readFrames(await bytesOf(response))) {
    expect(JSON.parse(frame.text)).toMatchObject({ object: "chat.completion.chunk" });
  }
});

test("bare-json slices never join two chunks", async () => {
  await using simulator = await startTestSimulator({
    stream: { wire: "bare-json", sliceBytes: 50 },
  });
  const frames = readFrames(await bytesOf(await sample(simulator, "t", { stream: true })));
  for (const frame of frames) expect(frame.text).not.toContain("}{");
  const chunks = frames.filter((frame) => frame.text.startsWith('{"id"'));
  expect(chunks.length).toBeGreaterThan(5);
});

test("a stream's turn is captured whole, with its times", async () => {
  await using simulator = await startTestSimulator();
  await bytesOf(await sample(simulator, "t", { stream: true }));
  await simulator.waitFor("finished");
  const turn = simulator.trajectory(testJobArn, "t")?.turns[0];
  expect(turn).toMatchObject({
    operation: "SampleWithResponseStream",
    outcome: "complete",
    clientLeft: null,
    response: { status: 200 },
  });
  expect(turn?.receivedAt).toBeLessThanOrEqual(turn?.capturedAt ?? 0);
  expect(turn?.capturedAt).toBeLessThanOrEqual(turn?.firstByteAt ?? 0);
  expect(turn?.firstByteAt).toBeLessThanOrEqual(turn?.finishedAt ?? 0);
});

test("a pause before each event does not change the stream", async () => {
  await using simulator = await startTestSimulator({ stream: { eventDelayMs: 1 } });
  const bytes = await bytesOf(await sample(simulator, "t", { stream: true }));
  expect(payloadText(bytes)).toMatch(/data: \[DONE\]\n\n$/u);
});

test("two hundred streams at once all end whole", async () => {
  await using simulator = await startTestSimulator();
  const texts = await Promise.all(
    Array.from({ length: 200 }, async (_, index) =>
      payloadText(await bytesOf(await sample(simulator, `t-${index}`, { stream: true }))),
    ),
  );
  expect(texts.every((text) => text.endsWith("data: [DONE]\n\n"))).toBe(true);
  expect(simulator.stats()).toMatchObject({ turns: 200, trajectories: 200 });
});
