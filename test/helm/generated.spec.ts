/** What is generated is up to date: schema, table, turnpike's keys and versions. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readValues, type Value } from "../../helm/generate/values.ts";
import { generatedFiles } from "../../helm/generate.ts";
import { chart, root } from "./support/chart.ts";

describe("generated files", () => {
  const advice = "run `npm run helm:generate`";

  it.each([...generatedFiles()])("%s is what its sources make of it", (file, text) => {
    expect(readFileSync(file, "utf8") === text, advice).toBe(true);
  });

  it("the chart's appVersion is package.json's version", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const lines = readFileSync(join(chart, "Chart.yaml"), "utf8").split("\n");
    expect(lines).toContain(`appVersion: ${version}`);
  });
});

describe("values.yaml", () => {
  const values = readValues(readFileSync(join(chart, "values.yaml"), "utf8"));

  it("has no value that no template reads", () => {
    const templates = readdirSync(join(chart, "templates"), {
      recursive: true,
      withFileTypes: true,
    })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
      .join("\n")
      .replaceAll("$gateway.", ".Values.gateway.");
    // A parent chart's.
    const others = ["enabled", "global"];
    const unread = leaves(values).filter((path) => !isRead(path, templates));
    expect(unread).toEqual(others);
  });

  it("refuses a key without a comment", () => {
    expect(() => readValues("# Something.\na: 1\n\nb: 2\n")).toThrow("b has no comment");
  });
});

function leaves(values: readonly Value[]): readonly string[] {
  return values.flatMap(({ path, children }) => (children.length > 0 ? leaves(children) : [path]));
}

/** By itself, or with the map it is in, taken over as a whole. */
function isRead(path: string, templates: string): boolean {
  const parent = path.split(".").slice(0, -1).join(".");
  return (
    new RegExp(`\\.Values\\.${path.replaceAll(".", "\\.")}\\b(?!\\.)`).test(templates) ||
    (parent !== "" && templates.includes(`toYaml .Values.${parent} `))
  );
}
