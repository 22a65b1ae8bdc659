/**
 * The template that tells the chart turnpike's keys: which variable each has, its default, whether it is a secret.
 * A template and not a file, since a named template that another chart includes cannot read this chart's files.
 */
import { configKeys } from "../../src/config/keys.ts";

/** The text of templates/_config-keys.tpl. */
export function configKeysTemplate(): string {
  const lines = configKeys.map(({ path, meta, defaultValue }) => {
    const facts = {
      env: meta.env,
      default: defaultValue,
      ...(meta.secret ? { secret: true } : {}),
    };
    return `${path}: ${JSON.stringify(facts)}`;
  });
  const text = lines.join("\n");
  if (text.includes("{{")) throw new Error("a default would be taken for a template");
  return `{{/* Generated from src/config/schema.ts by \`npm run helm:generate\`. */}}
{{- define "turnpike.configKeys" -}}
${text}
{{- end -}}
`;
}
