import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { exampleYaml, schemaJson } from "../../src/config/example.ts";
import { configKeys, variablesOf } from "../../src/config/keys.ts";
import { loadConfig, loadConfigWithSources } from "../../src/config/load.ts";

const root = join(import.meta.dirname, "../..");
const read = (name: string) => readFileSync(join(root, name), "utf8");

describe("config.example.yaml", () => {
  it("is up to date: `npm run config:generate` writes it", () => {
    expect(read("config.example.yaml")).toBe(exampleYaml());
  });

  it("shows every key, and loads as the defaults", () => {
    const file = join(root, "config.example.yaml");
    const { config, sources } = loadConfigWithSources({ environment: {}, file });
    expect(config).toEqual(loadConfig({ environment: {} }));
    expect([...sources.keys()]).toEqual(configKeys.map(({ path }) => path));
  });

  it("names the schema for editors in its first line", () => {
    expect(exampleYaml().split("\n", 1)[0]).toBe(
      "# yaml-language-server: $schema=./config.schema.json",
    );
  });
});

describe("config.schema.json", () => {
  it("is up to date: `npm run config:generate` writes it", () => {
    expect(read("config.schema.json")).toBe(schemaJson());
  });

  it("describes every section of the example and refuses unknown keys", () => {
    const schema = JSON.parse(schemaJson()) as {
      properties: Record<string, { additionalProperties?: boolean }>;
      additionalProperties: boolean;
    };
    expect(Object.keys(schema.properties)).toEqual(Object.keys(parse(exampleYaml()) as object));
    expect(schema.additionalProperties).toBe(false);
    expect(schema.properties["server"]?.additionalProperties).toBe(false);
  });
});

describe("the schema's variables", () => {
  it("are each the variable of one key", () => {
    const names = configKeys.flatMap(variablesOf);
    expect(names).toEqual([...new Set(names)]);
  });

  it("begin with TURNPIKE_ for every key", () => {
    expect(configKeys.filter(({ meta }) => !meta.env.startsWith("TURNPIKE_"))).toEqual([]);
  });
});
