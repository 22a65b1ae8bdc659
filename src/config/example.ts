/**
 * Writes what is generated from the schema: `config.example.yaml`, every key with its default and its
 * description, and `config.schema.json`, for editors. `npm run config:generate` runs this file; a test
 * says when its output is out of date.
 */
import { writeFileSync } from "node:fs";
import { z } from "zod";
import { type ConfigKey, configKeys, variablesOf } from "./keys.ts";
import { configSchema } from "./schema.ts";

const head = `# yaml-language-server: $schema=./config.schema.json
# Every key of turnpike with its default. Generated from src/config/schema.ts by \`npm run config:generate\`.
# A value here gives way to its variable, and that to a flag. Unknown keys are errors.
`;

/** The text of `config.example.yaml`. */
export function exampleYaml(): string {
  const lines: string[] = [head];
  let section: string | undefined;
  for (const key of configKeys) {
    const [first, name] = key.segments;
    if (first !== section) {
      if (section !== undefined) lines.push("");
      if (name !== undefined) lines.push(`${first}:`);
      section = first;
    }
    lines.push(...keyLines(key));
  }
  return `${lines.join("\n")}\n`;
}

function keyLines(key: ConfigKey): string[] {
  const indent = key.segments.length === 1 ? "" : "  ";
  const comments = [key.meta.description, `Variable: ${variablesOf(key).join(", then ")}.`];
  return [
    ...comments
      .flatMap((comment) => wrapped(comment, 98 - indent.length))
      .map((line) => `${indent}# ${line}`),
    `${indent}${key.segments.at(-1)}: ${JSON.stringify(key.defaultValue)}`,
  ];
}

/** Broken at spaces into lines of at most `width` characters. */
function wrapped(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

/** The text of `config.schema.json`. */
export function schemaJson(): string {
  const schema = z.toJSONSchema(configSchema, {
    io: "input",
    override: ({ jsonSchema }) => {
      // Ours, not JSON Schema's: the variable is told in words instead.
      const { env, alsoEnv, secret, ...rest } = jsonSchema;
      if (typeof env !== "string") return;
      for (const name of ["env", "alsoEnv", "secret"]) delete jsonSchema[name];
      jsonSchema.description = `${rest.description ?? ""} Variable: ${[env, ...((alsoEnv as string[]) ?? [])].join(", then ")}.`;
    },
  });
  return `${JSON.stringify({ title: "turnpike", ...schema }, null, 2)}\n`;
}

if (import.meta.main) {
  writeFileSync("config.example.yaml", exampleYaml());
  writeFileSync("config.schema.json", schemaJson());
}
