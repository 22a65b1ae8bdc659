/** What the injection policy makes of pods: kat evaluates it, without a cluster. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { agentChart } from "./support/agent-chart.ts";
import type { Resource } from "./support/chart.ts";
import { contains } from "./support/contains.ts";
import { evaluate, mutated, type Pods } from "./support/kat.ts";
import { qualityOfService } from "./support/quality-of-service.ts";

const folder = join(import.meta.dirname, "pods");
const pods: Pods = new Map(
  readdirSync(folder).map((file) => [
    basename(file, ".yaml"),
    parse(readFileSync(join(folder, file), "utf8")) as Resource,
  ]),
);

describe.each(["injection", "injection-everything"])("with %s.yaml", async (name) => {
  const values = join(import.meta.dirname, "values", `${name}.yaml`);
  const after = await mutated(pods, { values });

  it.each([...pods.keys()])("%s becomes what its golden says", async (pod) => {
    const golden = join("golden/pods", name, `${pod}.yaml`);
    await expect(stringify(after.get(pod))).toMatchFileSnapshot(golden);
  });

  it("changes nothing in a second round", async () => {
    expect(await evaluate(after, after, { values })).toEqual(new Map());
  });

  it("changes nothing in a namespace that does not ask for it", async () => {
    expect(await evaluate(pods, pods, { values, namespaceLabels: {} })).toEqual(new Map());
  });

  it("adds and never alters", () => {
    for (const [pod, before] of pods) expect(after.get(pod), pod).toSatisfy(contains(before));
  });

  it("keeps a Guaranteed pod Guaranteed", () => {
    const pod = pods.get("guaranteed") as Resource;
    expect(qualityOfService(pod)).toBe("Guaranteed");
    expect(qualityOfService(after.get("guaranteed") as Resource)).toBe("Guaranteed");
  });

  it("names no variable, volume or container twice", () => {
    for (const [name, { spec }] of after as ReadonlyMap<string, Resource>) {
      const containers = [...(spec.initContainers ?? []), ...spec.containers];
      for (const list of [
        containers,
        spec.volumes ?? [],
        ...containers.map(({ env }) => env ?? []),
      ]) {
        const names = list.map((item: Resource["metadata"]) => item.name);
        expect(names, name).toEqual([...new Set(names)]);
      }
    }
  });

  it("injects the container that the named template gives", async () => {
    const [job] = await agentChart(values);
    const { initContainers, volumes, containers } = job?.["spec"].template.spec ?? {};
    const injected = after.get("bare")?.["spec"];
    expect(injected.initContainers).toEqual(initContainers);
    expect(injected.volumes).toEqual(volumes);
    expect(containers[0].env).toEqual(expect.arrayContaining(injected.containers[0].env));
  });
});
