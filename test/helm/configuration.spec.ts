/** What the chart makes of values.config, read by turnpike's own loader. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { configKeys } from "../../src/config/keys.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { agentChart } from "./support/agent-chart.ts";
import { ofKind, type Resource, resources } from "./support/chart.ts";

const annotations: Readonly<Record<string, string>> = {
  "turnpike.dev/job-arn": "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/my-training-job",
  "turnpike.dev/trajectory-id": "trajectory-1",
};

describe("a gateway's file", () => {
  it.each(["gateway", "gateway-everything", "gateway-claim", "gateway-openshift-ipv6"])(
    "of %s is one that turnpike takes",
    async (name) => {
      const rendered = await resources({ file: valuesOf(name) });
      const config = await gatewayConfig(rendered);
      expect(config.server.host).toBe(config.ops.host);
      expect(config.state.dir).toBe(mountOf(rendered, "state"));
      expect(config.server.allowed_hosts.length).toBeGreaterThanOrEqual(4);
    },
  );
});

describe("a sidecar's variables", () => {
  it.each(["injection", "injection-everything"])(
    "of %s are such that turnpike takes",
    async (name) => {
      const config = sidecarConfig(await agentChart(valuesOf(name)));
      expect(config.identity.job_arn).toBe(annotations["turnpike.dev/job-arn"]);
      expect(config.identity.trajectory_id).toBe(annotations["turnpike.dev/trajectory-id"]);
      expect(config.server.host).toBe("127.0.0.1");
      expect(config.ops.host).toBe("10.1.2.3");
    },
  );

  it("are no different from the same keys in a file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "turnpike-config-"));
    try {
      const values = join(folder, "values.yaml");
      const file = join(folder, "turnpike.yaml");
      const config = explicitConfig();
      await writeFile(file, stringify(config));
      await writeFile(values, stringify({ image: { repository: "turnpike" }, config }));
      const { ops, identity, state, ...bySidecar } = sidecarConfig(await agentChart(values));
      expect(loadConfig({ file, environment: {} })).toMatchObject(bySidecar);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

function valuesOf(name: string): string {
  return join(import.meta.dirname, "values", `${name}.yaml`);
}

/** Keys that the chart refuses to be given. */
const refused = [
  "server.host",
  "ops.host",
  "state.dir",
  "identity.job_arn",
  "identity.trajectory_id",
];

/** Some that have no default, and one of each kind that text could spoil. */
const given: Readonly<Record<string, unknown>> = {
  "server.max_body_bytes": 1_073_741_824,
  "job_runtime.region": "eu-west-1",
  "job_runtime.endpoint": "https://runtime.example/$(HOME)/$$/<&>",
  "proxy.none_for": ".example.com,10.0.0.1",
  models: ["one, two", "three"],
  "log.level": "debug",
  "simulator.faults": [{ kind: "throttle", times: 1 }],
};

/** Every key that may be set, with a value of its own or its default. */
function explicitConfig(): object {
  const config: Record<string, unknown> = {};
  for (const { path, meta, segments, defaultValue } of configKeys) {
    const value = given[path] ?? defaultValue;
    if (value === null || meta.secret === true || refused.includes(path)) continue;
    const [section = "", name] = segments;
    if (name === undefined) config[section] = value;
    else config[section] = { ...(config[section] as object | undefined), [name]: value };
  }
  return config;
}

async function gatewayConfig(rendered: readonly Resource[]): Promise<Config> {
  const folder = await mkdtemp(join(tmpdir(), "turnpike-config-"));
  try {
    const file = join(folder, "turnpike.yaml");
    await writeFile(file, ofKind(rendered, "ConfigMap")["data"]["turnpike.yaml"]);
    return loadConfig({ file, environment: { TURNPIKE_API_KEY: "0123456789" } });
  } finally {
    await rm(folder, { recursive: true });
  }
}

function mountOf(rendered: readonly Resource[], volume: string): unknown {
  const [container] = ofKind(rendered, "Deployment")["spec"].template.spec.containers;
  const mounts: readonly { name: string; mountPath: string }[] = container.volumeMounts;
  return mounts.find(({ name }) => name === volume)?.mountPath;
}

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
}

/** With the variables as the kubelet would set them. */
function sidecarConfig([job]: readonly Resource[]): Config {
  const [sidecar] = job?.["spec"].template.spec.initContainers ?? [];
  const variables: readonly Variable[] = sidecar.env;
  const environment = variables.map(({ name, value, valueFrom }) => [
    name,
    value?.replaceAll("$$", "$") ?? fieldOf(valueFrom?.fieldRef?.fieldPath),
  ]);
  return loadConfig({ environment: Object.fromEntries(environment) });
}

function fieldOf(path: string | undefined): string {
  if (path === "status.podIP") return "10.1.2.3";
  return annotations[/^metadata\.annotations\['(.*)'\]$/.exec(path ?? "")?.[1] ?? ""] ?? "";
}
