import { expect, test } from "vitest";
import { exampleFromSchema } from "../../src/simulator/models/example-from-schema.ts";

test.for([
  [{ type: "string" }, "example value"],
  [{ type: "string", format: "date" }, "2026-01-31"],
  [{ type: "string", minLength: 15 }, "example value.."],
  [{ type: "string", maxLength: 3 }, "exa"],
  [{ type: ["string", "null"] }, "example value"],
  [{ type: "integer" }, 1],
  [{ type: "number", exclusiveMinimum: 4 }, 5],
  [{ type: "integer", maximum: -2 }, -2],
  [{ type: "boolean" }, true],
  [{ type: "null" }, null],
  [{ enum: ["b", "a"] }, "b"],
  [{ const: 7 }, 7],
  [{ type: "string", default: "d" }, "d"],
  [{ anyOf: [{ type: "integer" }, { type: "string" }] }, 1],
  [{ type: "array", items: { type: "integer" }, minItems: 2 }, [1, 1]],
  [{ type: "object", properties: { a: { type: "string" } } }, { a: "example a" }],
  [{ properties: { a: { type: "string" }, b: {} }, required: ["a"] }, { a: "example a" }],
  [{ $ref: "#/$defs/x", $defs: { x: { type: "boolean" } } }, true],
  [{ allOf: [{ type: "object" }, { properties: { a: { type: "integer" } } }] }, { a: 1 }],
  [true, null],
  [undefined, null],
] as const)("the schema %j has the example %j", ([schema, example]) => {
  expect(exampleFromSchema(schema)).toEqual(example);
});

test("a schema that refers to itself ends", () => {
  const schema = { type: "object", properties: { next: { $ref: "#" } }, $ref: "#/properties/next" };
  expect(exampleFromSchema(schema)).toBeNull();
});
