import { describe, expect, test } from "vitest";
import { chat, errorOf, startPair } from "../support/gateway.ts";

describe("shutdown", () => {
  test("lets turns in flight finish, takes no new ones, and says so on /readyz", async () => {
    await using pair = await startPair({
      config: { shutdown: { drain_ms: 20_000 } },
      simulator: { stream: { eventDelayMs: 20 } },
    });
    expect((await fetch(`${pair.gateway.opsUrl}/readyz`)).status).toBe(200);
    const running = await chat(pair.gateway, "t-1", { body: { stream: true } });
    const closed = pair.gateway.close();
    expect((await fetch(`${pair.gateway.opsUrl}/readyz`)).status).toBe(503);
    expect((await fetch(`${pair.gateway.opsUrl}/livez`)).status).toBe(200);
    const refused = await chat(pair.gateway, "t-2");
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after-ms")).toBe("1000");
    expect(await errorOf(refused)).toMatchObject({ code: "shutting_down" });
    expect((await running.text()).endsWith("data: [DONE]\n\n")).toBe(true);
    await closed;
    await expect(fetch(`${pair.gateway.url}/v1/models`)).rejects.toThrow();
  });

  test("ends what is left at the deadline: a stream with an error event, the rest with a 503", async () => {
    await using pair = await startPair({
      config: { shutdown: { drain_ms: 50 } },
      simulator: {
        faults: [
          { kind: "stall", event: 2, trajectory: "stream" },
          { kind: "delay-headers", ms: 60_000, trajectory: "whole" },
        ],
      },
    });
    const streaming = await chat(pair.gateway, "stream", { body: { stream: true } });
    const whole = chat(pair.gateway, "whole");
    await pair.simulator.waitFor("request-received", (event) => event.trajectoryId === "whole");
    const closed = pair.gateway.close();
    const text = await streaming.text();
    expect(text).toMatch(/data: {"error":.*"code":"shutting_down"}}\n\n$/);
    expect(text).not.toContain("[DONE]");
    const answer = await whole;
    expect(answer.status).toBe(503);
    expect(answer.headers.get("x-should-retry")).toBe("false");
    await closed;
    await pair.simulator.waitFor("client-left", (event) => event.trajectoryId === "whole");
    await pair.simulator.waitFor("client-left", (event) => event.trajectoryId === "stream");
  });
});
