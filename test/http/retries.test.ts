import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import type { FaultRule } from "../../src/simulator/fault-rules.ts";
import { chat, errorOf, hello, type Pair, startPair } from "../support/gateway.ts";
import { testJobArn } from "../support/simulator.ts";

const retries = { base_delay_ms: 5 };
const marked = { "x-stainless-retry-count": "1" };

const turnsOf = ({ simulator }: Pair, id = "t-1") =>
  simulator.trajectory(testJobArn, id)?.turns ?? [];

async function rolloutOf({ gateway }: Pair, id = "t-1") {
  return (await (await fetch(`${gateway.url}/rollouts/${id}`)).json()) as Record<string, unknown>;
}

describe("towards the service", () => {
  test.each([
    { kind: "throttle", times: 2 },
    { kind: "unavailable", times: 2 },
    { kind: "internal-error", times: 2 },
  ] as FaultRule[])("what was not captured is sent again until it is: %j", async (fault) => {
    await using pair = await startPair({ config: { retries }, simulator: { faults: [fault] } });
    for (const stream of [false, true]) {
      pair.simulator.setFaults([fault]);
      const response = await chat(pair.gateway, "t-1", { body: { stream } });
      expect(response.status).toBe(200);
      expect(response.headers.get("x-turnpike-attempts")).toBe("3");
      await response.text();
    }
    expect(turnsOf(pair)).toHaveLength(2);
    const metrics = await (await fetch(`${pair.gateway.opsUrl}/metrics`)).text();
    expect(metrics).toContain("turnpike_resends_total 4");
    expect(pair.logged()).toContain('"attempts":3');
  });

  test("the last error is the answer when it does not get better", async () => {
    await using pair = await startPair({
      config: { retries: { ...retries, max_attempts: 3 } },
      simulator: { faults: [{ kind: "throttle" }] },
    });
    const response = await chat(pair.gateway, "t-1");
    expect(response.status).toBe(429);
    expect(response.headers.get("x-turnpike-attempts")).toBe("3");
    expect(pair.simulator.stats().requests).toEqual({ Sample: 3 });
  });

  test("a client of little patience gets its error while it still waits", async () => {
    await using pair = await startPair({
      simulator: { faults: [{ kind: "throttle", retryAfterSeconds: 5 }] },
    });
    const response = await chat(pair.gateway, "t-1", { headers: { "x-stainless-timeout": "2" } });
    expect(response.status).toBe(429);
    expect(response.headers.get("x-turnpike-attempts")).toBe("1");
  });

  test("an ambiguous failure is sent again only where the operator says so, and the rollout says so", async () => {
    await using pair = await startPair({
      config: { retries: { ...retries, ambiguous: "resend" } },
      simulator: { faults: [{ kind: "reset-after-capture", times: 1 }] },
    });
    const response = await chat(pair.gateway, "t-1");
    expect(response.status).toBe(200);
    expect(response.headers.get("x-turnpike-attempts")).toBe("2");
    expect(turnsOf(pair)).toHaveLength(2);
    await response.text();
    expect(JSON.stringify(await rolloutOf(pair))).toMatch(/"possible_duplicates":1/);
  });

  test("a client that leaves during the wait ends it", async () => {
    await using pair = await startPair({
      simulator: { faults: [{ kind: "throttle", retryAfterSeconds: 60 }] },
    });
    const leaving = new AbortController();
    const gone = chat(pair.gateway, "t-1", { signal: leaving.signal });
    await pair.simulator.waitFor("finished");
    leaving.abort();
    await expect(gone).rejects.toThrow();
    await expect
      .poll(async () => rolloutOf(pair))
      .toMatchObject({
        turns: { in_flight: 0, client_left: 1 },
      });
  });
});

describe("a client's marked retry", () => {
  test("gets the finished answer again, byte for byte, and is no second turn", async () => {
    await using pair = await startPair();
    for (const stream of [false, true]) {
      const first = await chat(pair.gateway, "t-1", { body: { stream } });
      const text = await first.text();
      const again = await chat(pair.gateway, "t-1", { body: { stream }, headers: marked });
      expect(again.headers.get("x-turnpike-joined")).toBe("replay");
      expect(again.headers.get("x-turnpike-turn")).toBe(first.headers.get("x-turnpike-turn"));
      expect(again.headers.get("content-type")).toBe(first.headers.get("content-type"));
      expect(await again.text()).toBe(text);
    }
    expect(turnsOf(pair)).toHaveLength(2);
  });

  test("joins the call in flight", async () => {
    await using pair = await startPair({
      simulator: { faults: [{ kind: "delay-headers", ms: 300, times: 1 }] },
    });
    const first = chat(pair.gateway, "t-1");
    await pair.simulator.waitFor("request-received");
    const second = await chat(pair.gateway, "t-1", { headers: marked });
    expect(second.headers.get("x-turnpike-joined")).toBe("in-flight");
    expect(await second.text()).toBe(await (await first).text());
    expect(turnsOf(pair)).toHaveLength(1);
  });

  test("joins a stream in flight from its first byte", async () => {
    await using pair = await startPair({
      simulator: { stream: { eventDelayMs: 15, sliceBytes: 50 } },
    });
    const first = await chat(pair.gateway, "t-1", { body: { stream: true } });
    const reader = first.body?.getReader();
    const start = Buffer.from((await reader?.read())?.value ?? []).toString();
    const second = await chat(pair.gateway, "t-1", { body: { stream: true }, headers: marked });
    expect(second.headers.get("x-turnpike-joined")).toBe("in-flight");
    const text = await second.text();
    expect(text.startsWith(start)).toBe(true);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    expect({ text }).toEqual(turnsOf(pair)[0]?.response.body);
    await reader?.cancel();
    expect(turnsOf(pair)).toHaveLength(1);
  });

  test("keeps the turn alive when the first caller then leaves", async () => {
    await using pair = await startPair({ simulator: { stream: { eventDelayMs: 15 } } });
    const leaving = new AbortController();
    const first = await chat(pair.gateway, "t-1", {
      body: { stream: true },
      signal: leaving.signal,
    });
    await first.body?.getReader().read();
    const second = await chat(pair.gateway, "t-1", { body: { stream: true }, headers: marked });
    leaving.abort();
    expect((await second.text()).endsWith("data: [DONE]\n\n")).toBe(true);
    expect(pair.simulator.stats().disconnects.total).toBe(0);
    expect(await rolloutOf(pair)).toMatchObject({ turns: { started: 1, finished: 1 } });
  });

  test("finds the turn of a caller that left within the grace, and is no duplicate", async () => {
    await using pair = await startPair({
      config: { retries: { join_grace_ms: 60_000 } },
      simulator: { faults: [{ kind: "delay-headers", ms: 300, times: 1 }] },
    });
    const leaving = new AbortController();
    const first = chat(pair.gateway, "t-1", { signal: leaving.signal });
    await pair.simulator.waitFor("request-received");
    leaving.abort();
    await expect(first).rejects.toThrow();
    const second = await chat(pair.gateway, "t-1", { headers: marked });
    expect(second.status).toBe(200);
    expect(second.headers.get("x-turnpike-joined")).toMatch(/in-flight|replay/);
    expect(turnsOf(pair)).toHaveLength(1);
    expect(JSON.stringify(await rolloutOf(pair))).toMatch(/"possible_duplicates":0/);
  });

  test("of a turn that was given up goes up, and the rollout says it may be a duplicate", async () => {
    await using pair = await startPair({
      simulator: { faults: [{ kind: "delay-headers", ms: 60_000, times: 1 }] },
    });
    const leaving = new AbortController();
    const first = chat(pair.gateway, "t-1", { signal: leaving.signal });
    await pair.simulator.waitFor("request-received");
    leaving.abort();
    await expect(first).rejects.toThrow();
    await pair.simulator.waitFor("client-left");
    const second = await chat(pair.gateway, "t-1", { headers: marked });
    expect(second.headers.get("x-turnpike-joined")).toBeNull();
    await second.text();
    expect(JSON.stringify(await rolloutOf(pair))).toMatch(/"possible_duplicates":1/);
  });

  test("of a turn the service refused goes up and is no duplicate", async () => {
    await using pair = await startPair({
      config: { retries: { ...retries, max_attempts: 1 } },
      simulator: { faults: [{ kind: "throttle", times: 1 }] },
    });
    expect((await chat(pair.gateway, "t-1")).status).toBe(429);
    const second = await chat(pair.gateway, "t-1", { headers: marked });
    expect(second.status).toBe(200);
    await second.text();
    expect(turnsOf(pair)).toHaveLength(1);
    expect(JSON.stringify(await rolloutOf(pair))).toMatch(/"possible_duplicates":0/);
  });

  test("that this process knows nothing of goes up and may be a duplicate", async () => {
    await using pair = await startPair();
    await (await chat(pair.gateway, "t-1", { headers: marked })).text();
    expect(turnsOf(pair)).toHaveLength(1);
    expect(JSON.stringify(await rolloutOf(pair))).toMatch(/"possible_duplicates":1/);
  });

  test("is told from another body, another trajectory and an unmarked repeat", async () => {
    await using pair = await startPair();
    await (await chat(pair.gateway, "t-1")).text();
    const others = [
      await chat(pair.gateway, "t-1"),
      await chat(pair.gateway, "t-1", { body: { temperature: 1 }, headers: marked }),
      await chat(pair.gateway, "t-2", { headers: marked }),
    ];
    for (const response of others) expect(response.headers.get("x-turnpike-joined")).toBeNull();
    expect(turnsOf(pair)).toHaveLength(3);
    expect(turnsOf(pair, "t-2")).toHaveLength(1);
  });

  test("can be switched off", async () => {
    await using pair = await startPair({ config: { retries: { replay: false } } });
    await (await chat(pair.gateway, "t-1")).text();
    const again = await chat(pair.gateway, "t-1", { headers: marked });
    expect(again.headers.get("x-turnpike-joined")).toBeNull();
    expect(turnsOf(pair)).toHaveLength(2);
  });

  test("of an answer too long to keep goes up", async () => {
    const long = "word ".repeat(60_000);
    await using pair = await startPair({
      config: { retries: { replay_max_bytes: 65_536 } },
      simulator: { model: { kind: "scripted", script: { steps: [{ content: long }] } } },
    });
    await (await chat(pair.gateway, "t-1", { body: { stream: true } })).text();
    const again = await chat(pair.gateway, "t-1", { body: { stream: true }, headers: marked });
    expect(again.headers.get("x-turnpike-joined")).toBeNull();
  });

  test("made by the official client after its own timeout joins, and one turn is captured", async () => {
    await using pair = await startPair({
      config: { retries: { join_grace_ms: 60_000 } },
      simulator: { faults: [{ kind: "delay-headers", ms: 1_500, times: 1 }] },
    });
    const client = new OpenAI({
      baseURL: `${pair.gateway.url}/rollouts/t-1/v1`,
      apiKey: "x",
      timeout: 1_000,
    });
    const answer = await client.chat.completions.create(hello as never);
    expect(answer.choices[0]?.message.content).toContain("Hello");
    expect(turnsOf(pair)).toHaveLength(1);
  });
});

describe("the circuit", () => {
  test("fails turns at once during an outage, and closes with the first answer", async () => {
    await using pair = await startPair({
      config: { circuit: { failures: 2, open_ms: 200 }, retries: { max_attempts: 1 } },
      simulator: { faults: [{ kind: "unavailable", times: 2 }] },
    });
    for (const status of [503, 503]) expect((await chat(pair.gateway, "t-1")).status).toBe(status);
    const before = pair.simulator.stats().requests;
    const refused = await chat(pair.gateway, "t-1");
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get("retry-after-ms"))).toBeGreaterThan(0);
    expect(await errorOf(refused)).toMatchObject({ code: "circuit_open" });
    expect(pair.simulator.stats().requests).toEqual(before);
    await expect.poll(async () => (await chat(pair.gateway, "t-1")).status).toBe(200);
  });

  test("lets completions and rewards through, and their answers close it", async () => {
    await using pair = await startPair({
      config: { circuit: { failures: 1, open_ms: 60_000 }, retries: { max_attempts: 1 } },
      simulator: { faults: [{ kind: "unavailable", operations: ["Sample"], times: 1 }] },
    });
    expect((await chat(pair.gateway, "t-1")).status).toBe(503);
    expect(await errorOf(await chat(pair.gateway, "t-1"))).toMatchObject({ code: "circuit_open" });
    const completed = await fetch(`${pair.gateway.url}/rollouts/t-2/complete`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ reward: 1 }),
    });
    expect(completed.status).toBe(200);
    expect(pair.simulator.trajectory(testJobArn, "t-2")).toMatchObject({ rewards: [1] });
    expect((await chat(pair.gateway, "t-1")).status).toBe(200);
  });
});
