/** What the chart renders, held against goldens. `npm run test:helm -- --update` renews them: look at the difference. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { agentChart } from "./support/agent-chart.ts";
import { chart, ofKind, type Resource, render, resources } from "./support/chart.ts";
import { qualityOfService } from "./support/quality-of-service.ts";
import { run, succeed } from "./support/run.ts";

const folder = join(import.meta.dirname, "values");
const cases = readdirSync(folder).map((file) => basename(file, ".yaml"));
const valuesOf = (name: string): string => join(folder, `${name}.yaml`);

describe.each(cases)("%s.yaml", (name) => {
  it("renders what its golden says", async () => {
    const text = await render({ file: valuesOf(name) });
    await expect(text).toMatchFileSnapshot(join("golden", `${name}.yaml`));
  });

  it("passes helm lint", async () => {
    const { code, stdout } = await run("helm", [
      ...["lint", "--strict", "--values", valuesOf(name), chart],
      ...["--kube-version", "1.36.0"],
    ]);
    expect(stdout).toContain("0 chart(s) failed");
    expect(code).toBe(0);
  });
});

describe("on Kubernetes 1.29", () => {
  it.each(["sidecar", "gateway", "gateway-everything"])("%s renders too", async (name) => {
    const file = valuesOf(name);
    expect(await render({ file, kubeVersion: "1.29.0" })).toBe(await render({ file }));
  });
});

describe("every pod of the chart", () => {
  it.each(["gateway", "gateway-everything", "gateway-openshift-ipv6", "injection"])(
    "of %s is restricted, without service links and without the cluster's token",
    async (name) => {
      const pods = podsOf(await resources({ file: valuesOf(name) }));
      expect(pods.length).toBeGreaterThan(0);
      for (const pod of pods) {
        expect(pod).toMatchObject({
          enableServiceLinks: false,
          automountServiceAccountToken: false,
        });
        for (const { securityContext } of pod["containers"]) {
          expect(securityContext).toMatchObject({
            allowPrivilegeEscalation: false,
            capabilities: { drop: ["ALL"] },
            readOnlyRootFilesystem: true,
            runAsNonRoot: true,
            seccompProfile: { type: "RuntimeDefault" },
          });
        }
      }
    },
  );
});

describe("a gateway", () => {
  it("is given more time than its longest turn", async () => {
    const file = valuesOf("gateway");
    for (const totalMs of [660_000, 600_500, 3_600_000]) {
      const rendered = await resources({ file, set: [`config.timeouts.total_ms=${totalMs}`] });
      const { terminationGracePeriodSeconds } = podOf(rendered);
      expect(configOf(rendered)).toContain(`drain_ms: ${totalMs}`);
      expect(terminationGracePeriodSeconds * 1000).toBeGreaterThanOrEqual(totalMs + 30_000);
    }
  });

  it("gets new pods when its configuration is another, and only then", async () => {
    const file = valuesOf("gateway");
    const checksum = async (...set: string[]): Promise<string> =>
      ofKind(await resources({ file, set }), "Deployment")["spec"].template.metadata.annotations[
        "checksum/config"
      ];
    expect(await checksum()).toBe(await checksum("gateway.service.type=NodePort"));
    expect(await checksum()).not.toBe(await checksum("config.log.level=debug"));
  });

  it("answers to its Service's names", async () => {
    const config = configOf(await resources({ file: valuesOf("gateway-everything") }));
    for (const name of ["shared-turnpike", "shared-turnpike.rl.svc.cluster.example"]) {
      expect(config).toMatch(new RegExp(`^ *- ${name.replaceAll(".", "\\.")}$`, "m"));
    }
    expect(config).toContain("- turnpike.example.com");
  });

  it("tells rollouts its Service's URL, or the one it is known by", async () => {
    const file = valuesOf("gateway");
    const publicUrl = "https://turnpike.example.com";
    expect(configOf(await resources({ file }))).toContain(
      "public_url: http://turnpike.rl.svc:8484",
    );
    const known = await resources({ file, set: [`config.server.public_url=${publicUrl}`] });
    expect(configOf(known)).toContain(`public_url: ${publicUrl}`);
  });
});

describe("a sidecar", () => {
  it("has requests equal to limits by itself", async () => {
    const [job] = await agentChart(valuesOf("injection-everything"));
    const spec = { containers: job?.["spec"].template.spec.initContainers };
    expect(qualityOfService({ kind: "Pod", metadata: { name: "alone" }, spec })).toBe("Guaranteed");
  });

  it("of a chart that withholds credentials is the one container to get them", async () => {
    const withheld = async (name: string): Promise<unknown> => {
      const [job] = await agentChart(valuesOf(name));
      return job?.["spec"].template.metadata.annotations["eks.amazonaws.com/skip-containers"];
    };
    expect(await withheld("injection-everything")).toBe("agent");
    expect(await withheld("injection")).toBeUndefined();
  });
});

describe("NOTES.txt", () => {
  it.each([
    ["gateway", "helm test turnpike --namespace rl"],
    ["injection", "kubectl label namespace YOUR-NAMESPACE turnpike.dev/injection=enabled"],
    ["sidecar", "--set injection.enabled=true"],
  ])("of %s prints the next command", async (name, command) => {
    const notes = await succeed("helm", [
      ...["install", "turnpike", chart, "--namespace", "rl", "--dry-run=client"],
      ...["--values", valuesOf(name)],
    ]);
    expect(notes.slice(notes.indexOf("NOTES:"))).toContain(command);
  });
});

function podsOf(rendered: readonly Resource[]): readonly Resource[] {
  return rendered
    .filter(({ kind }) => kind === "Deployment" || kind === "Pod")
    .map(({ kind, spec }) => (kind === "Pod" ? spec : spec.template.spec));
}

function podOf(rendered: readonly Resource[]): Resource {
  return ofKind(rendered, "Deployment")["spec"].template.spec;
}

function configOf(rendered: readonly Resource[]): string {
  return ofKind(rendered, "ConfigMap")["data"]["turnpike.yaml"];
}
