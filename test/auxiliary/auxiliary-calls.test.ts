import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { chat, errorOf, type PairOptions, startPair } from "../support/gateway.ts";
import { testJobArn } from "../support/simulator.ts";

interface Heard {
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Another OpenAI-compatible server, which answers as it is told. */
async function startJudge(answer: (response: ServerResponse, heard: Heard) => void) {
  const heard: Heard[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const one = {
        url: request.url,
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      };
      heard.push(one);
      answer(response, one);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard };
}

function withJudge(url: string, more: PairOptions["config"] = {}): PairOptions {
  return {
    config: {
      ...more,
      auxiliary: [
        { models: ["judge-*"], base_url: `${url}/v1`, api_key_env: "JUDGE_KEY" },
      ] as never,
    },
    overrides: { auxiliaryKeys: new Map([["JUDGE_KEY", "sk-judge-secret"]]) },
  };
}

const judged = { model: "judge-1", temperature: 0.3 };

describe("a call to an auxiliary model", () => {
  it("goes to its own server with its own key, and is no turn", async () => {
    const judge = await startJudge((response) => {
      response.writeHead(200, {
        "content-type": "application/json",
        "x-request-id": "j-1",
        "set-cookie": "a=b",
      });
      response.end('{"verdict": 1}');
    });
    await using pair = await startPair(withJudge(judge.url));
    const text = '{ "model": "judge-1",\n"messages": [] }';
    const response = await chat(pair.gateway, "t-1", {
      text,
      headers: { authorization: "Bearer rollout-t-1", "x-secret": "of the agent" },
    });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('{"verdict": 1}');
    expect(response.headers.get("x-turnpike-auxiliary")).toBe(new URL(judge.url).host);
    expect(response.headers.get("x-request-id")).toBe("j-1");
    expect(response.headers.get("set-cookie")).toBeNull();
    expect(judge.heard).toMatchObject([{ url: "/v1/chat/completions", body: text }]);
    const [{ headers } = { headers: {} }] = judge.heard;
    expect(headers).toMatchObject({ authorization: "Bearer sk-judge-secret" });
    expect(Object.keys(headers).filter((name) => name.startsWith("x-"))).toEqual([]);
    expect(pair.simulator.trajectories()).toEqual([]);
    expect(pair.logged()).toContain("auxiliary-call-ended");
    expect(pair.logged()).not.toContain("sk-judge-secret");
  });

  it("is counted apart, on the rollout in whose name it came and in the metrics", async () => {
    const judge = await startJudge((response) => response.end("{}"));
    await using pair = await startPair(withJudge(judge.url));
    await (await chat(pair.gateway, "t-1", { body: judged })).text();
    await (await chat(pair.gateway, "t-1")).text();
    const rollout = await (await fetch(`${pair.gateway.url}/rollouts/t-1`)).json();
    expect(rollout).toMatchObject({
      turns: { started: 1, finished: 1 },
      auxiliary: { calls: 1, failed: 0 },
    });
    const metrics = await (await fetch(`${pair.gateway.opsUrl}/metrics`)).text();
    expect(metrics).toContain('turnpike_auxiliary_calls_total{outcome="answered"} 1');
    expect(pair.simulator.trajectory(testJobArn, "t-1")?.turns).toHaveLength(1);
  });

  it("needs no trajectory", async () => {
    const judge = await startJudge((response) => response.end("{}"));
    await using pair = await startPair(withJudge(judge.url));
    const response = await fetch(`${pair.gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(judged),
    });
    expect(response.status).toBe(200);
  });

  it("streams as it comes", async () => {
    let more: (() => void) | undefined;
    const judge = await startJudge((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: {}\n\n");
      more = () => response.end("data: [DONE]\n\n");
    });
    await using pair = await startPair(withJudge(judge.url));
    const response = await chat(pair.gateway, "t-1", { body: { ...judged, stream: true } });
    const reader = response.body?.getReader();
    const first = await reader?.read();
    expect(Buffer.from(first?.value ?? []).toString()).toBe("data: {}\n\n");
    more?.();
    const second = await reader?.read();
    expect(Buffer.from(second?.value ?? []).toString()).toBe("data: [DONE]\n\n");
  });

  it("passes the server's own errors on, with what the client's retries go by", async () => {
    const judge = await startJudge((response) => {
      response.writeHead(429, { "content-type": "application/json", "retry-after": "7" });
      response.end('{"error":{"message":"slow down"}}');
    });
    await using pair = await startPair(withJudge(judge.url));
    const response = await chat(pair.gateway, "t-1", { body: judged });
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "7"]);
    expect(await errorOf(response)).toEqual({ message: "slow down" });
  });

  it("follows no redirect", async () => {
    const judge = await startJudge((response) => {
      response.writeHead(307, { location: "http://169.254.169.254/" });
      response.end();
    });
    await using pair = await startPair(withJudge(judge.url));
    const response = await chat(pair.gateway, "t-1", { body: judged });
    expect([response.status, response.headers.get("location")]).toEqual([307, null]);
  });

  it("is a 502 that names the server when it is not there", async () => {
    await using pair = await startPair(withJudge("http://127.0.0.1:1"));
    const response = await chat(pair.gateway, "t-1", { body: judged });
    expect(response.status).toBe(502);
    expect(await errorOf(response)).toMatchObject({
      code: "upstream_unreachable",
      message:
        "The auxiliary server http://127.0.0.1:1 cannot be reached (ECONNREFUSED); the operator's `auxiliary` names it.",
    });
    const rollout = await (await fetch(`${pair.gateway.url}/rollouts/t-1`)).json();
    expect(rollout).toMatchObject({ auxiliary: { calls: 1, failed: 1 } });
  });

  it("is a 504 when the server is silent for too long", async () => {
    const judge = await startJudge(() => undefined);
    await using pair = await startPair(withJudge(judge.url, { timeouts: { total_ms: 50 } }));
    const response = await chat(pair.gateway, "t-1", { body: judged });
    expect(response.status).toBe(504);
    expect((await errorOf(response))["message"]).toContain("did not answer in time");
  });

  it("that breaks off in a stream ends with an error event, and elsewhere with a broken connection", async () => {
    const judge = await startJudge((response, { body }) => {
      const type = body.includes('"stream":true') ? "text/event-stream" : "application/json";
      response.writeHead(200, { "content-type": type, "content-length": "1000" });
      response.write("data: {");
      setTimeout(() => response.destroy(), 20);
    });
    await using pair = await startPair(withJudge(judge.url));
    const streamed = await chat(pair.gateway, "t-1", { body: { ...judged, stream: true } });
    expect(await streamed.text()).toMatch(
      /^data: \{\n\ndata: \{"error":\{"message":"The auxiliary server .* broke the connection/,
    );
    const whole = await chat(pair.gateway, "t-1", { body: judged });
    await expect(whole.text()).rejects.toThrow();
  });

  it("ends when its client leaves", async () => {
    let gone: (() => void) | undefined;
    const left = new Promise<void>((resolve) => {
      gone = resolve;
    });
    const arrived = Promise.withResolvers<void>();
    const judge = await startJudge((response) => {
      response.on("close", () => gone?.());
      arrived.resolve();
    });
    await using pair = await startPair(withJudge(judge.url));
    const client = new AbortController();
    const call = chat(pair.gateway, "t-1", { body: judged, signal: client.signal });
    await arrived.promise;
    client.abort();
    await expect(call).rejects.toThrow();
    await left;
  });

  it("may end while turnpike shuts down, until the deadline", async () => {
    const arrived = Promise.withResolvers<void>();
    const judge = await startJudge(() => arrived.resolve());
    await using pair = await startPair(withJudge(judge.url));
    const call = chat(pair.gateway, "t-1", { body: judged });
    await arrived.promise;
    const closed = pair.gateway.close();
    const response = await call;
    expect(response.status).toBe(503);
    expect((await errorOf(response))["message"]).toContain("shut down before this auxiliary call");
    await closed;
  });
});
