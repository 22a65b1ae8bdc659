import { describe, expect, test } from "vitest";
import type { FaultRule } from "../../src/simulator/fault-rules.ts";
import { chat, errorOf, startGateway, startPair } from "../support/gateway.ts";

describe("a service that does not answer in time", () => {
  const early: [string, Record<string, number>, boolean, FaultRule][] = [
    ["first_byte_ms", { first_byte_ms: 100 }, false, { kind: "delay-headers", ms: 60_000 }],
    ["first_byte_ms", { first_byte_ms: 100 }, true, { kind: "delay-headers", ms: 60_000 }],
    ["first_byte_ms", { first_byte_ms: 100 }, true, { kind: "delay-first-frame", ms: 60_000 }],
    ["total_ms", { total_ms: 100 }, false, { kind: "delay-headers", ms: 60_000 }],
  ];

  test.each(early)(
    "before its first byte (%s %j, stream %s) is a 504 that names the limit",
    async (key, timeouts, stream, fault) => {
      await using pair = await startPair({ config: { timeouts }, simulator: { faults: [fault] } });
      const response = await chat(pair.gateway, "t-1", { body: { stream } });
      expect(response.status).toBe(504);
      expect(response.headers.get("x-should-retry")).toBe("false");
      const error = await errorOf(response);
      expect(error).toMatchObject({ code: "upstream_timeout", type: "timeout_error" });
      expect(error["message"]).toContain(`timeouts.${key}`);
      // The service is told at once, or it would go on generating.
      await pair.simulator.waitFor("client-left");
    },
  );

  test.each([
    ["idle_ms", { idle_ms: 100 }, { kind: "stall", event: 3 }],
    ["total_ms", { total_ms: 300 }, { kind: "never-ending", intervalMs: 10 }],
  ] as const)(
    "in the middle of a stream (%s) is a terminal error event",
    async (key, timeouts, fault) => {
      await using pair = await startPair({ config: { timeouts }, simulator: { faults: [fault] } });
      const text = await (await chat(pair.gateway, "t-1", { body: { stream: true } })).text();
      expect(text).not.toContain("[DONE]");
      expect(text).toMatch(new RegExp(`data: {"error":.*timeouts\\.${key}.*}\n\n$`));
      await pair.simulator.waitFor("client-left");
    },
  );

  test("that does not even take the connection is a 504 that says nothing was sent", async () => {
    // A server whose backlog is full takes no connection: TCP to a listener that never accepts.
    await using gateway = await startGateway({
      // RFC 5737's documentation network: nobody answers there.
      endpoint: "http://192.0.2.1:9",
      config: { timeouts: { connect_ms: 50 } },
    });
    const response = await chat(gateway, "t-1");
    const error = await errorOf(response);
    // A sandbox without a route refuses at once instead: that is "unreachable".
    expect(["connect_timeout", "upstream_unreachable"]).toContain(error["code"]);
    expect(error["message"]).toContain("Nothing was sent");
  });
});

describe("pings", () => {
  test("fill the silence of a begun stream, between events, and change none of its bytes", async () => {
    await using pair = await startPair({
      config: { timeouts: { ping_ms: 20 } },
      simulator: { stream: { eventDelayMs: 60, sliceBytes: 40 } },
    });
    const text = await (await chat(pair.gateway, "t-1", { body: { stream: true } })).text();
    expect(text).toContain(": ping\n\n");
    const turn = pair.simulator.trajectories()[0]?.turns[0];
    expect({ text: text.replaceAll(": ping\n\n", "") }).toEqual(turn?.response.body);
    for (const event of text.split("\n\n")) expect(event).toMatch(/^(: ping|data: .*|)$/);
  });

  test("do not come before the stream has begun, so that an error can still be a status", async () => {
    await using pair = await startPair({
      config: { timeouts: { ping_ms: 10 } },
      simulator: {
        faults: [
          { kind: "delay-first-frame", ms: 100 },
          { kind: "exception-frame", event: 0 },
        ],
      },
    });
    const response = await chat(pair.gateway, "t-1", { body: { stream: true } });
    expect(response.status).toBe(500);
  });
});
