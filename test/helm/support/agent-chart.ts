/** The example of a chart that includes the sidecar, with this tree's chart among its dependencies. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { chart, type Resource, resources, root } from "./chart.ts";

/** What it renders with these values of turnpike's, and with `set` for its own. */
export async function agentChart(
  file: string,
  set: readonly string[] = [],
): Promise<readonly Resource[]> {
  const folder = await mkdtemp(join(tmpdir(), "turnpike-agent-chart-"));
  try {
    await cp(join(root, "examples/kubernetes/agent-chart"), folder, { recursive: true });
    // Not by `helm dependency build`, whose archive would stay as it was when the chart changes.
    await rm(join(folder, "charts"), { recursive: true, force: true });
    await cp(chart, join(folder, "charts/turnpike"), { recursive: true });
    const { injection, ...turnpike } = parse(await readFile(file, "utf8")) as Record<
      string,
      unknown
    >;
    const values = join(folder, "turnpike-values.yaml");
    await writeFile(values, stringify({ turnpike }));
    return await resources({ chart: folder, file: values, set });
  } finally {
    await rm(folder, { recursive: true });
  }
}
