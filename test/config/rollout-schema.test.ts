import { describe, expect, it } from "vitest";
import { readAuxiliaryKeys } from "../../src/config/auxiliary-keys.ts";
import { ConfigError } from "../../src/config/config-error.ts";
import { loadConfig } from "../../src/config/load.ts";

function load(environment: Record<string, string>) {
  return loadConfig({ environment });
}

function problems(attempt: () => unknown): string[] {
  try {
    attempt();
  } catch (error) {
    if (error instanceof ConfigError)
      return error.problems.map(({ key, message }) => `${key}: ${message}`);
    throw error;
  }
  return [];
}

const judge = { models: ["gpt-4o*"], base_url: "https://api.openai.com/v1" };

describe("the keys of rollouts", () => {
  it("take numbers with a fraction", () => {
    const { sampling } = load({
      TURNPIKE_SAMPLING_ENFORCE: "always",
      TURNPIKE_SAMPLING_TEMPERATURE: "0.25",
      TURNPIKE_SAMPLING_TOP_P: "1",
    });
    expect(sampling).toMatchObject({ temperature: 0.25, top_p: 1 });
  });

  it("take an agent's command as words or as JSON", () => {
    expect(load({ TURNPIKE_AGENT_COMMAND: "node,agent.ts" }).agent.command).toEqual([
      "node",
      "agent.ts",
    ]);
    expect(load({ TURNPIKE_AGENT_COMMAND: '["sh","-c","a, b"]' }).agent.command[2]).toBe("a, b");
  });

  it.each<[Record<string, string>, string]>([
    [
      { TURNPIKE_SAMPLING_TEMPERATURE: "hot" },
      'sampling.temperature: must be a number from 0 to 100, not "hot"',
    ],
    [
      { TURNPIKE_SAMPLING_MAX_TOKENS: "1.5" },
      "sampling.max_tokens: must be a whole number from 1 to 10000000",
    ],
    [
      { TURNPIKE_SAMPLING_ENFORCE: "always" },
      "sampling.enforce: `always` needs sampling.temperature",
    ],
    [{ TURNPIKE_SAMPLING_TEMPERATURE: "0" }, "count only with `always`, not with `when_given`"],
    [
      { TURNPIKE_INGRESS_ENABLED: "true" },
      "ingress.enabled: the ingress hands each rollout to one agent: set agent.url or agent.command",
    ],
    [
      {
        TURNPIKE_INGRESS_ENABLED: "true",
        TURNPIKE_AGENT_URL: "http://127.0.0.1:1",
        TURNPIKE_AGENT_COMMAND: "x",
      },
      "set agent.url or agent.command, not both",
    ],
    [
      {
        TURNPIKE_INGRESS_ENABLED: "true",
        TURNPIKE_AGENT_COMMAND: "x",
        TURNPIKE_INGRESS_HOST: "0.0.0.0",
      },
      "ingress.host: 0.0.0.0 can be reached from other machines, and whoever reaches the ingress starts rollouts: set server.api_keys",
    ],
    [
      {
        TURNPIKE_INGRESS_ENABLED: "true",
        TURNPIKE_AGENT_COMMAND: "x",
        TURNPIKE_INGRESS_PORT: "8486",
      },
      "ingress.port: 8486 is ops.port too",
    ],
    [{ TURNPIKE_AGENT_REWARD_COMMAND: "x" }, "agent.reward_command: goes with agent.command"],
    [
      { TURNPIKE_AUXILIARY: "x" },
      "auxiliary: must be a list of objects with models, base_url, api_key_env",
    ],
    [
      { TURNPIKE_AUXILIARY: JSON.stringify([{ ...judge, base_url: "ftp://x" }]) },
      "auxiliary[0].base_url: ",
    ],
    [
      { TURNPIKE_AUXILIARY: JSON.stringify([{ ...judge, key: "x" }]) },
      "auxiliary[0]: has unknown members: key",
    ],
  ])("refuse %j: %s", (environment, message) => {
    expect(problems(() => load(environment)).join("\n")).toContain(message);
  });

  it("let AgentCore reach the ingress without a key when the operator says so", () => {
    const environment = {
      TURNPIKE_INGRESS_ENABLED: "true",
      TURNPIKE_INGRESS_HOST: "0.0.0.0",
      TURNPIKE_INGRESS_WITHOUT_KEY: "true",
      TURNPIKE_AGENT_COMMAND: "x",
    };
    expect(load(environment).ingress).toMatchObject({ host: "0.0.0.0", without_key: true });
  });
});

describe("the keys of auxiliary servers", () => {
  const config = load({
    TURNPIKE_AUXILIARY: JSON.stringify([
      { ...judge, api_key_env: "JUDGE_KEY" },
      judge,
      { ...judge, api_key_env: "TITLE_KEY" },
    ]),
  });

  it("are read from the variables that the configuration names", () => {
    const keys = readAuxiliaryKeys(config, { JUDGE_KEY: "sk-1", TITLE_KEY: "sk-2" });
    expect([...keys]).toEqual([
      ["JUDGE_KEY", "sk-1"],
      ["TITLE_KEY", "sk-2"],
    ]);
  });

  it("are all missed at once, by name", () => {
    expect(problems(() => readAuxiliaryKeys(config, { JUDGE_KEY: "" }))).toEqual([
      "auxiliary[0].api_key_env: the variable JUDGE_KEY is not set; it holds the key of that server. Set it, or leave api_key_env out where none is asked for",
      expect.stringContaining("auxiliary[2].api_key_env: the variable TITLE_KEY is not set"),
    ]);
  });
});
