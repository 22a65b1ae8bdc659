/**
 * Writes what is generated for the chart: values.schema.json and the README's table from the comments in
 * values.yaml, the template that knows turnpike's keys from src/config, and the versions in Chart.yaml from
 * package.json. `npm run helm:generate` runs this file; a test says when its output is out of date.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { schemaJson } from "../src/config/example.ts";
import { configKeysTemplate } from "./generate/config-keys.ts";
import { readmeWithTable } from "./generate/readme.ts";
import { valuesSchema } from "./generate/schema.ts";
import { readValues } from "./generate/values.ts";
import { chartWithVersion } from "./generate/version.ts";

const chart = join(import.meta.dirname, "turnpike");
const root = join(import.meta.dirname, "..");

/** Every generated file of the chart, with the text it should have. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const values = readValues(read(chart, "values.yaml"));
  const programSchema = JSON.parse(schemaJson()) as object;
  const { version } = JSON.parse(read(root, "package.json")) as { version: string };
  return new Map([
    [join(chart, "values.schema.json"), valuesSchema(values, programSchema)],
    [join(chart, "README.md"), readmeWithTable(read(chart, "README.md"), values)],
    [join(chart, "templates/_config-keys.tpl"), configKeysTemplate()],
    [join(chart, "Chart.yaml"), chartWithVersion(read(chart, "Chart.yaml"), version)],
  ]);
}

function read(...path: string[]): string {
  return readFileSync(join(...path), "utf8");
}

if (import.meta.main) {
  for (const [file, text] of generatedFiles()) writeFileSync(file, text);
}
