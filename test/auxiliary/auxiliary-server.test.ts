import { describe, expect, it } from "vitest";
import { createFindServer } from "../../src/auxiliary/auxiliary-server.ts";

const find = createFindServer(
  [
    { models: ["judge", "gpt-4o*"], base_url: "https://one.example/v1/", api_key_env: "KEY" },
    { models: ["*/title-*-small", "*mini*"], base_url: "http://127.0.0.1:9" },
  ],
  new Map([["KEY", "sk-1"]]),
);
const one = { origin: "https://one.example", path: "/v1/chat/completions", apiKey: "sk-1" };
const two = { origin: "http://127.0.0.1:9", path: "/chat/completions", apiKey: undefined };

describe("the server of an auxiliary model", () => {
  it.each<[unknown, unknown]>([
    ["judge", one],
    ["gpt-4o", one],
    ["gpt-4o-mini", one],
    ["org/title-x-small", two],
    ["a-mini-b", two],
    ["mini", two],
    ["judge2", undefined],
    ["my-judge", undefined],
    ["gpt-4", undefined],
    ["org/title-small", undefined],
    ["", undefined],
    [undefined, undefined],
    [["judge"], undefined],
  ])("of %j", (model, server) => {
    expect(find(model)).toEqual(server);
  });
});
