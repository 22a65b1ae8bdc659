import { describe, expect, test } from "vitest";
import type { FaultRule } from "../../src/simulator/fault-rules.ts";
import { chat, startPair } from "../support/gateway.ts";

/** Windows in which a client can leave (clients.md, "Streaming bugs other gateways shipped"). */
const windows: {
  name: string;
  stream: boolean;
  fault: FaultRule;
  /** What the service did last before the client leaves. */
  until: "request-received" | "headers-sent" | "first-byte-sent";
  seenAs: string;
}[] = [
  {
    name: "before the service's headers",
    stream: true,
    fault: { kind: "delay-headers", ms: 60_000 },
    until: "request-received",
    seenAs: "before-headers",
  },
  {
    name: "before the first frame",
    stream: true,
    fault: { kind: "delay-first-frame", ms: 60_000 },
    until: "headers-sent",
    seenAs: "before-first-frame",
  },
  {
    name: "in the middle of a stream",
    stream: true,
    fault: { kind: "stall", event: 3 },
    until: "first-byte-sent",
    seenAs: "mid-stream",
  },
  {
    name: "in a call without a stream",
    stream: false,
    fault: { kind: "delay-headers", ms: 60_000 },
    until: "request-received",
    seenAs: "non-streaming",
  },
];

describe("a client that leaves", () => {
  test.each(windows)("$name takes the call to the service with it", async (window) => {
    await using pair = await startPair({ simulator: { faults: [window.fault] } });
    const leaving = new AbortController();
    const response = chat(pair.gateway, "t-1", {
      body: { stream: window.stream },
      signal: leaving.signal,
    });
    response.catch(() => {});
    await pair.simulator.waitFor(window.until);
    if (window.until === "first-byte-sent") await (await response).body?.getReader().read();
    leaving.abort();
    const left = await pair.simulator.waitFor("client-left");
    expect(left.window).toBe(window.seenAs);
    await pair.simulator.waitFor("finished");
    expect(pair.simulator.stats().openRequests).toBe(0);
    const rollout = await waitForRollout(pair.gateway.url);
    expect(rollout["turns"]).toMatchObject({ started: 1, client_left: 1, in_flight: 0 });
    expect(pair.logged()).toContain('"outcome":"client_left"');
  });

  test("while the others stream on does them no harm", async () => {
    await using pair = await startPair({ simulator: { stream: { eventDelayMs: 5 } } });
    const leaving = new AbortController();
    const staying = [1, 2, 3].map((n) =>
      chat(pair.gateway, `stay-${n}`, { body: { stream: true } }),
    );
    const gone = chat(pair.gateway, "gone", { body: { stream: true }, signal: leaving.signal });
    await (await gone).body?.getReader().read();
    leaving.abort();
    for (const response of staying) {
      expect((await (await response).text()).endsWith("data: [DONE]\n\n")).toBe(true);
    }
    expect((await pair.simulator.waitFor("client-left")).trajectoryId).toBe("gone");
  });

  test("and never reads is waited for without the gateway's memory filling up", async () => {
    const answer = "x".repeat(1000);
    await using pair = await startPair({
      simulator: {
        model: { kind: "scripted", script: { steps: [{ content: `${answer} `.repeat(1000) }] } },
        faults: [{ kind: "never-ending", intervalMs: 0 }],
      },
    });
    const leaving = new AbortController();
    const response = await chat(pair.gateway, "t-1", {
      body: { stream: true },
      signal: leaving.signal,
    });
    expect(response.status).toBe(200);
    // The simulator's socket fills up and stays full: it is the gateway that stopped reading.
    const sent = () => pair.simulator.stats().openRequests;
    expect(sent()).toBe(1);
    leaving.abort();
    expect((await pair.simulator.waitFor("client-left")).window).toBe("mid-stream");
  });
});

async function waitForRollout(url: string): Promise<Record<string, unknown>> {
  for (;;) {
    const rollout = (await (await fetch(`${url}/rollouts/t-1`)).json()) as {
      turns: { in_flight: number };
    };
    if (rollout.turns.in_flight === 0) return rollout as never;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
