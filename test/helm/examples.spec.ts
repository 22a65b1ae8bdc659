/** The examples say what the chart does. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { agentChart } from "./support/agent-chart.ts";
import { ofKind, resources, root } from "./support/chart.ts";

const folder = join(root, "examples/kubernetes");
const sidecar = join(import.meta.dirname, "values/injection.yaml");

describe("job-with-sidecar.yaml", () => {
  it("has the sidecar, the variables and the volume of the chart", async () => {
    const job = parse(readFileSync(join(folder, "job-with-sidecar.yaml"), "utf8"));
    const [rendered] = await agentChart(sidecar);
    const { initContainers, volumes, containers } = job.spec.template.spec;
    const byChart = rendered?.["spec"].template.spec;
    expect(initContainers).toEqual(byChart.initContainers);
    expect(volumes).toEqual(byChart.volumes);
    expect(containers[0].env).toEqual(byChart.containers[0].env);
  });
});

describe("injected-job.yaml", () => {
  it("carries the label that the policy's binding asks for, and tells of its namespace's", async () => {
    const text = readFileSync(join(folder, "injected-job.yaml"), "utf8");
    const binding = ofKind(await resources({ file: sidecar }), "MutatingAdmissionPolicyBinding");
    const { namespaceSelector, objectSelector } = binding["spec"].matchResources;
    expect(parse(text).spec.template.metadata.labels).toEqual(objectSelector.matchLabels);
    const [[name, value]] = Object.entries(namespaceSelector.matchLabels) as [[string, string]];
    expect(text).toContain(`kubectl label namespace rollouts ${name}=${value}`);
  });
});

describe("gateway-values.yaml", () => {
  it("is one that the chart takes", async () => {
    const rendered = await resources({ file: join(folder, "gateway-values.yaml") });
    const { kind } = ofKind(rendered, "Deployment");
    expect(kind).toBe("Deployment");
  });
});
