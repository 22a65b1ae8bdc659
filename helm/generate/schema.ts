/** values.schema.json: what helm holds values against before it renders anything. */
import type { Value } from "./values.ts";

type Schema = Record<string, unknown>;

/** The file's text. `programSchema` is what config.schema.json says; it stands for the key `config`. */
export function valuesSchema(values: readonly Value[], programSchema: object): string {
  const { $schema, title, ...config } = programSchema as Schema;
  const properties = Object.fromEntries(
    values.map((value) => [
      value.name,
      value.path === "config" ? { description: value.description, ...config } : schemaOf(value),
    ]),
  );
  const schema = { $schema, title: "turnpike's chart", ...closed(properties) };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function schemaOf(value: Value): Schema {
  if (value.children.length > 0) {
    return closed(Object.fromEntries(value.children.map((child) => [child.name, schemaOf(child)])));
  }
  const { description, defaultValue, schema } = value;
  return { description, default: defaultValue, ...typeOf(value), ...schema };
}

/** Unknown keys are errors: a misspelt value must not pass unnoticed. */
function closed(properties: Schema): Schema {
  return { type: "object", properties, additionalProperties: false };
}

/** The type that a default tells. A map has to say by itself what it holds. */
function typeOf({ path, defaultValue, schema }: Value): Schema {
  if (schema?.["type"] !== undefined || schema?.["enum"] !== undefined) return {};
  if (Array.isArray(defaultValue)) return { type: "array" };
  if (Number.isInteger(defaultValue)) return { type: "integer" };
  const type = typeof defaultValue;
  if (type === "string" || type === "boolean") return { type };
  throw new Error(`values.yaml: ${path} needs a type in an @schema line`);
}
