/**
 * JSON Schemas for kubeconform out of Kubernetes' own OpenAPI document:
 * `node kubernetes-schemas.ts swagger.json FOLDER`. Strict: a field that Kubernetes does not know is an error.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly "x-kubernetes-group-version-kind"?: readonly GroupVersionKind[];
  readonly [keyword: string]: unknown;
}

interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

const definitionsFile = "_definitions.json";

/** File name → its content. */
export function schemasOf(
  definitions: Readonly<Record<string, Schema>>,
): ReadonlyMap<string, object> {
  const strict = Object.entries(definitions).map(([name, schema]) => [
    name,
    strictly(name, schema),
  ]);
  const files = new Map<string, object>([
    [definitionsFile, { definitions: Object.fromEntries(strict) }],
  ]);
  for (const [name, schema] of Object.entries(definitions)) {
    // Options of deletion and the like have a name in every group; resources have one.
    const [resource, ...others] = schema["x-kubernetes-group-version-kind"] ?? [];
    if (resource === undefined || others.length > 0) continue;
    files.set(fileName(resource), { $ref: `${definitionsFile}#/definitions/${name}` });
  }
  return files;
}

/** As kubeconform's default location has it: `deployment-apps-v1.json`, `pod-v1.json`. */
function fileName({ group, version, kind }: GroupVersionKind): string {
  const [family] = group.split(".");
  return `${[kind, family, version].filter(Boolean).join("-").toLowerCase()}.json`;
}

function strictly(name: string, schema: Schema): Schema {
  // Kubernetes writes both as text and reads numbers, too.
  if (schema.format === "int-or-string" || name.endsWith(".Quantity")) {
    return { type: ["string", "number"] } as unknown as Schema;
  }
  return schema.properties === undefined ? schema : { ...schema, additionalProperties: false };
}

if (import.meta.main) {
  const [source = "", folder = ""] = process.argv.slice(2);
  mkdirSync(folder, { recursive: true });
  const { definitions } = JSON.parse(readFileSync(source, "utf8"));
  for (const [file, schema] of schemasOf(definitions)) {
    writeFileSync(join(folder, file), JSON.stringify(schema));
  }
}
