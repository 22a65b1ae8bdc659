/** A value that fits a JSON schema, always the same one: arguments for a tool nobody scripted. */

type Schema = Readonly<Record<string, unknown>>;

/** Deep enough for any real tool; stops a schema that refers to itself. */
const maxDepth = 8;

/** An example value. What is not understood becomes `null`; nothing is validated. */
export function exampleFromSchema(schema: unknown, name = "value"): unknown {
  return example(schema, { root: schema, name, depth: 0 });
}

interface Place {
  readonly root: unknown;
  /** The property's name, which says more than `string` does. */
  readonly name: string;
  readonly depth: number;
}

function example(schema: unknown, place: Place): unknown {
  if (!isSchema(schema) || place.depth > maxDepth) return null;
  const fixed = fixedValue(schema);
  if (fixed !== undefined) return fixed;
  const chosen = alternative(schema, place.root);
  if (chosen !== undefined) return example(chosen, { ...place, depth: place.depth + 1 });
  switch (typeOf(schema)) {
    case "object":
      return exampleObject(schema, place);
    case "array":
      return Array.from({ length: Math.min(numberOf(schema, "minItems") ?? 1, 10) }, () =>
        example(schema["items"] ?? { type: "string" }, { ...place, depth: place.depth + 1 }),
      );
    case "string":
      return exampleString(schema, place.name);
    case "integer":
    case "number":
      return exampleNumber(schema);
    case "boolean":
      return true;
    default:
      return null;
  }
}

function fixedValue(schema: Schema): unknown {
  if (schema["const"] !== undefined) return schema["const"];
  if (Array.isArray(schema["enum"])) return schema["enum"][0];
  if (schema["default"] !== undefined) return schema["default"];
  return Array.isArray(schema["examples"]) ? schema["examples"][0] : undefined;
}

/** The first of several schemas, or the one a reference points to. */
function alternative(schema: Schema, root: unknown): unknown {
  for (const key of ["anyOf", "oneOf"]) {
    const options = schema[key];
    if (Array.isArray(options)) return options[0];
  }
  if (Array.isArray(schema["allOf"])) {
    return Object.assign({}, ...schema["allOf"].filter(isSchema));
  }
  const reference = schema["$ref"];
  if (typeof reference !== "string" || !reference.startsWith("#/")) return;
  return reference
    .slice(2)
    .split("/")
    .reduce<unknown>((at, part) => (isSchema(at) ? at[part] : undefined), root);
}

function typeOf(schema: Schema): string {
  const type: unknown = Array.isArray(schema["type"]) ? schema["type"][0] : schema["type"];
  if (typeof type === "string") return type;
  return isSchema(schema["properties"]) ? "object" : "null";
}

function exampleObject(schema: Schema, place: Place): Record<string, unknown> {
  const properties = isSchema(schema["properties"]) ? schema["properties"] : {};
  const required: unknown[] = Array.isArray(schema["required"])
    ? schema["required"]
    : Object.keys(properties);
  return Object.fromEntries(
    required
      .filter((name) => typeof name === "string")
      .map((name) => [
        name,
        example(properties[name], { root: place.root, name, depth: place.depth + 1 }),
      ]),
  );
}

function exampleString(schema: Schema, name: string): string {
  const formats: Record<string, string> = {
    date: "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    time: "12:00:00Z",
    email: "someone@example.com",
    uri: "https://example.com/",
    uuid: "00000000-0000-4000-8000-000000000000",
  };
  const format = schema["format"];
  const text = (typeof format === "string" ? formats[format] : undefined) ?? `example ${name}`;
  const padded = text.padEnd(Math.min(numberOf(schema, "minLength") ?? 0, 1000), ".");
  return padded.slice(0, numberOf(schema, "maxLength") ?? padded.length);
}

function exampleNumber(schema: Schema): number {
  const minimum = numberOf(schema, "minimum");
  const exclusive = numberOf(schema, "exclusiveMinimum");
  const lowest = minimum ?? (exclusive === undefined ? 1 : exclusive + 1);
  return Math.min(lowest, numberOf(schema, "maximum") ?? lowest);
}

function numberOf(schema: Schema, key: string): number | undefined {
  const value = schema[key];
  return typeof value === "number" ? value : undefined;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
