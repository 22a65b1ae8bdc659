/** Reads values.yaml as a tree: each key with its default, its description and what a schema adds. */
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from "yaml";

/** One key of values.yaml. */
export interface Value {
  /** `gateway.service.port` */
  readonly path: string;
  readonly name: string;
  /** The comment above it; empty for a key that only groups others. */
  readonly description: string;
  readonly defaultValue: unknown;
  /** From `# @schema {…}`: merged over what the default tells. */
  readonly schema: Readonly<Record<string, unknown>> | undefined;
  /** The keys below it; none where it is documented as a whole. */
  readonly children: readonly Value[];
}

/** The keys at the top. Throws for one that has neither a description nor keys below it. */
export function readValues(text: string): readonly Value[] {
  const document = parseDocument(text);
  if (document.errors[0]) throw document.errors[0];
  const { contents } = document;
  if (!isMap(contents)) throw new Error("values.yaml is not a map");
  return childrenOf(contents, "", text);
}

function childrenOf(map: YAMLMap, prefix: string, text: string): readonly Value[] {
  return map.items.map((pair) => readValue(pair, prefix, text));
}

function readValue(pair: Pair, prefix: string, text: string): Value {
  const { key, value } = pair;
  if (!isScalar(key) || key.range == null) throw new Error(`${prefix}: a key that is not text`);
  const name = String(key.value);
  const path = `${prefix}${name}`;
  const { description, schema } = commentAbove(text, key.range[0], path);
  const groups = description === "" && isMap(value);
  if (!groups && description === "") throw new Error(`values.yaml: ${path} has no comment`);
  return {
    path,
    name,
    description,
    schema,
    defaultValue: (value as { toJSON?: () => unknown } | null)?.toJSON?.() ?? null,
    children: groups ? childrenOf(value, `${path}.`, text) : [],
  };
}

const schemaMark = "@schema ";

/** The comment lines directly above an offset. (The parser hands the first key's comment to the document.) */
function commentAbove(
  text: string,
  offset: number,
  path: string,
): Pick<Value, "description" | "schema"> {
  const lines = text.slice(0, offset).split("\n").slice(0, -1);
  const comments: string[] = [];
  for (const line of lines.reverse()) {
    const comment = /^\s*# ?(.*)$/.exec(line)?.[1];
    if (comment === undefined) break;
    comments.unshift(comment);
  }
  const [mark, ...more] = comments.filter((line) => line.startsWith(schemaMark));
  if (more.length > 0) throw new Error(`values.yaml: ${path} has two @schema lines`);
  return {
    description: comments.filter((line) => !line.startsWith(schemaMark)).join(" "),
    schema: mark === undefined ? undefined : JSON.parse(mark.slice(schemaMark.length)),
  };
}
