import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { createGuard, type GuardSettings } from "../../src/http/guard.ts";
import { call, type Exchange, serveRoutes } from "./serve-routes.ts";

const loopback: GuardSettings = {
  host: "127.0.0.1",
  api_keys: [],
  allowed_hosts: [],
  max_body_bytes: 1000,
};

/** What a gateway with these settings answers. */
async function ask(settings: Partial<GuardSettings>, exchange: Exchange) {
  const routes = new Hono();
  routes.all("/*", (c) => c.text("in"));
  const url = await serveRoutes(routes, createGuard({ ...loopback, ...settings }));
  return call(url, exchange);
}

const post = { method: "POST", body: "{}" };

describe("Host", () => {
  it.each([
    [{}, "localhost:8484"],
    [{}, "LOCALHOST"],
    [{}, "localhost.:80"],
    [{}, "127.0.0.1:8484"],
    [{}, "127.1.2.3"],
    [{}, "[::1]:8484"],
    [{ host: "10.0.0.5" }, "10.0.0.5:8484"],
    [{ host: "10.0.0.5" }, "localhost"],
    [{ host: "gateway.internal" }, "gateway.internal:8484"],
    [{ host: "fd00::1" }, "[fd00::1]:8484"],
    [{ allowed_hosts: ["turnpike.rl.svc"] }, "Turnpike.rl.svc:8484"],
    [{ allowed_hosts: ["turnpike.rl.svc:80"] }, "turnpike.rl.svc:80"],
    // The pod's address is not known beforehand, and rebinding takes a name.
    [{ host: "0.0.0.0" }, "10.1.2.3:8484"],
    [{ host: "::" }, "[fd00::7]:8484"],
  ])("with %j lets %s in", async (settings, host) => {
    expect(await ask(settings, { headers: { host } })).toMatchObject({ status: 200, text: "in" });
  });

  it.each([
    [{}, "evil.example"],
    [{}, "evil.example:8484"],
    [{}, "localhost.evil.example"],
    [{}, "127.0.0.1.evil.example"],
    [{}, "10.0.0.5"],
    [{}, "[fd00::1]"],
    [{}, "localhost:8484@evil.example"],
    [{ host: "10.0.0.5" }, "10.0.0.6"],
    [{ host: "0.0.0.0" }, "evil.example"],
    [{ host: "0.0.0.0" }, "0x7f000001.evil.example"],
    [{ allowed_hosts: ["turnpike.rl.svc:80"] }, "turnpike.rl.svc:81"],
    [{ allowed_hosts: ["turnpike.rl.svc"] }, "x.turnpike.rl.svc"],
  ])("with %j refuses %j and says what to list", async (settings, host) => {
    const answer = await ask(settings, { headers: { host } });
    expect(answer.status).toBe(403);
    expect(answer.json.error).toMatchObject({ code: "host_not_allowed", param: "Host" });
    expect(answer.json.error.message).toContain(JSON.stringify(host));
    expect(answer.json.error.message).toContain("server.allowed_hosts (TURNPIKE_ALLOWED_HOSTS)");
  });

  it("is looked at again after one that was let in", () => {
    const guard = createGuard(loopback);
    expect(guard({ headers: { host: "localhost" } })).toBeUndefined();
    expect(guard({ headers: { host: "evil.example" } })?.code).toBe("host_not_allowed");
    expect(guard({ headers: { host: "localhost" } })).toBeUndefined();
    expect(guard({ headers: { host: "" } })?.code).toBe("host_not_allowed");
    expect(guard({ headers: {} })?.message).toContain("The request has no Host header");
  });
});

describe("web pages", () => {
  it.each([
    { origin: "http://localhost:8484", host: "localhost:8484" },
    { origin: "https://LOCALHOST", host: "localhost" },
  ])("of the gateway's own origin are let in: %j", async (headers) => {
    expect((await ask({}, { ...post, headers })).status).toBe(200);
  });

  it.each([
    { origin: "https://evil.example" },
    { origin: "null" },
    { origin: "http://localhost:3000", host: "localhost:8484" },
    { origin: "http://localhost:8484.evil.example", host: "localhost:8484" },
    { "sec-fetch-site": "cross-site" },
  ])("of other origins are refused: %j", async (headers) => {
    const answer = await ask({}, { ...post, headers });
    expect(answer.status).toBe(403);
    expect(answer.json.error.code).toBe("origin_not_allowed");
    expect(answer.json.error.message).toContain("turnpike answers programs, not web pages");
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  });

  it("are refused a preflight, too", async () => {
    const headers = {
      origin: "https://evil.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type",
    };
    const answer = await ask({}, { method: "OPTIONS", headers });
    expect(answer.status).toBe(403);
    expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).toEqual(
      [],
    );
  });

  it.each(["same-origin", "same-site", "none"])("lets Sec-Fetch-Site: %s in", async (site) => {
    expect((await ask({}, { headers: { "sec-fetch-site": site } })).status).toBe(200);
  });
});

describe("API keys", () => {
  const keys = { api_keys: ["first-secret-key", "second-secret-key"] };

  it.each(["Bearer first-secret-key", "bearer second-secret-key"])(
    "lets %s in",
    async (authorization) => {
      expect((await ask(keys, { headers: { authorization } })).status).toBe(200);
    },
  );

  it.each([
    "Bearer first-secret-ke",
    "Bearer first-secret-key2",
    "Bearer FIRST-SECRET-KEY",
    "Bearer rollout-t",
    "Basic first-secret-key",
    "first-secret-key",
    "Bearer ",
  ])("refuses %s", async (authorization) => {
    const answer = await ask(keys, { headers: { authorization } });
    expect(answer.status).toBe(401);
    expect(answer.json.error).toMatchObject({
      code: "invalid_api_key",
      type: "authentication_error",
    });
    expect(answer.headers["www-authenticate"]).toBe('Bearer realm="turnpike"');
    expect(answer.json.error.message).toContain("Authorization: Bearer <key>");
  });

  it("says so when there is none, and never what the keys are", async () => {
    const answer = await ask(keys, {});
    expect(answer.json.error.message).toContain("the request carries none");
    expect(answer.text).not.toContain("secret-key");
  });

  it("are not asked for where none is configured", async () => {
    expect((await ask({}, { headers: { authorization: "Bearer whatever" } })).status).toBe(200);
  });
});

describe("bodies", () => {
  it.each([
    "application/json",
    "application/json; charset=utf-8",
    'Application/JSON;charset="UTF8"',
    "application/json; profile=x",
  ])("are taken as %s", async (type) => {
    expect((await ask({}, { ...post, headers: { "content-type": type } })).status).toBe(200);
  });

  it.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=application/json",
    "application/jsonp",
    "",
    "application/json; charset=latin1",
  ])("are refused as %j", async (type) => {
    const answer = await ask({}, { ...post, headers: { "content-type": type } });
    expect(answer.status).toBe(415);
    expect(answer.json.error.code).toBe("unsupported_media_type");
    expect(answer.json.error.message).toContain("content-type: application/json");
  });

  it("need their type when they come in chunks, too", async () => {
    const headers = { "transfer-encoding": "chunked", "content-type": "text/plain" };
    expect((await ask({}, { ...post, headers })).status).toBe(415);
  });

  it("may be absent, then nothing is asked of them", async () => {
    const headers = { "content-length": "0", "content-type": "text/plain" };
    expect((await ask({}, { method: "POST", headers })).status).toBe(200);
  });

  it("are refused compressed", async () => {
    const answer = await ask({}, { ...post, headers: { "content-encoding": "gzip" } });
    expect(answer.status).toBe(415);
    expect(answer.json.error.message).toContain('content-encoding "gzip"; send it uncompressed');
    expect((await ask({}, { ...post, headers: { "content-encoding": "identity" } })).status).toBe(
      200,
    );
  });

  it("are refused by their declared length, with both numbers", async () => {
    expect((await ask({}, { body: "x".repeat(1000) })).status).toBe(200);
    const answer = await ask({}, { body: "x".repeat(1001) });
    expect(answer.status).toBe(413);
    expect(answer.json.error.code).toBe("body_too_large");
    expect(answer.json.error.message).toContain("has 1001 bytes; at most 1000 are taken");
  });
});

it("looks at the host before the key, and at the key before the body", () => {
  const guard = createGuard({ ...loopback, api_keys: ["first-secret-key"] });
  const body = { "content-type": "text/plain", "content-length": "2" };
  const codes = [
    { host: "evil.example", ...body },
    { host: "localhost", origin: "https://evil.example", ...body },
    { host: "localhost", ...body },
    { host: "localhost", authorization: "Bearer first-secret-key", ...body },
  ].map((headers) => guard({ headers })?.code);
  expect(codes).toEqual([
    "host_not_allowed",
    "origin_not_allowed",
    "invalid_api_key",
    "unsupported_media_type",
  ]);
});
