import { describe, expect, test } from "vitest";
import { chat, startPair } from "../support/gateway.ts";

/** Everything that must never be logged, each recognisable. */
const secrets = {
  prompt: "PROMPT-9f1c",
  answer: "ANSWER-77ab",
  apiKey: "KEY-5d21-of-the-gateway",
  secretKey: "SECRET-c0ffee-of-aws",
  sessionToken: "TOKEN-beef-of-aws",
  cookie: "COOKIE-1234",
};

describe("the log", () => {
  test("holds ids, status and sizes of every turn, and no body, key, token or signature, whatever goes wrong", async () => {
    await using pair = await startPair({
      config: { server: { api_keys: [secrets.apiKey] }, retries: { base_delay_ms: 1 } },
      simulator: {
        credentials: [
          {
            accessKeyId: "AKIDLOG",
            secretAccessKey: secrets.secretKey,
            sessionToken: secrets.sessionToken,
          },
        ],
        model: { kind: "scripted", script: { steps: [{ content: secrets.answer }] } },
      },
      credentials: () =>
        Promise.resolve({
          accessKeyId: "AKIDLOG",
          secretAccessKey: secrets.secretKey,
          sessionToken: secrets.sessionToken,
        }),
    });
    const headers = { authorization: `Bearer ${secrets.apiKey}`, cookie: secrets.cookie };
    const body = { messages: [{ role: "user", content: secrets.prompt }] };
    const ask = async (stream: boolean, more: object = {}) =>
      (await chat(pair.gateway, "t-1", { body: { ...body, stream }, headers, ...more })).text();
    expect(await ask(false)).toContain(secrets.answer);
    expect(await ask(true)).toContain(secrets.answer);
    for (const fault of [
      { kind: "validation", message: "bad" },
      { kind: "throttle" },
      { kind: "expired-token" },
      { kind: "reset-after-capture" },
      { kind: "exception-frame", event: 1 },
      { kind: "corrupt-crc", event: 2 },
    ] as const) {
      pair.simulator.setFaults([fault]);
      await ask(true);
      await ask(false);
    }
    pair.simulator.setFaults([]);
    await ask(false, { text: `{"messages": ${secrets.prompt}` });
    await ask(false, { headers: { authorization: `Bearer ${secrets.secretKey}` } });
    const post = (path: string, text: string) =>
      fetch(`${pair.gateway.url}${path}`, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body: text,
      });
    await post("/rollouts/t-1/complete", `{"reward": "${secrets.prompt}"}`);
    await post("/rollouts/t-1/complete", `{"reward": ${secrets.prompt}`);
    await post("/rollouts/t-1/complete", '{"reward": 0.5}');

    const logged = pair.logged();
    expect(logged.match(/"outcome":"finished"/g)?.length).toBeGreaterThanOrEqual(2);
    expect(logged).toContain('"trajectory_id":"t-1"');
    for (const [name, secret] of Object.entries(secrets)) {
      expect(logged.includes(secret), `${name} was logged`).toBe(false);
    }
    expect(logged).not.toMatch(/AWS4-HMAC-SHA256|Signature=|Bearer /);
    for (const line of logged.trim().split("\n")) expect(() => JSON.parse(line)).not.toThrow();
  });
});
