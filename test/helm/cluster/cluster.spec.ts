/**
 * The chart on a real cluster: `npm run test:cluster`, with KUBECONFIG, helm and kubectl. It makes namespaces and
 * releases of its own and removes them. Nothing has to run there: pods are created and looked at, so no image is
 * needed, and an API server with a controller manager is cluster enough (api-server.sh).
 */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { chart, type Resource, resources } from "../support/chart.ts";
import {
  eventually,
  make,
  objections,
  refusalOf,
  serverMinor,
  tryOut,
} from "../support/cluster.ts";
import { contains } from "../support/contains.ts";
import { json, run, succeed } from "../support/run.ts";

const id = randomBytes(3).toString("hex");
const release = `turnpike-test-${id}`;
const system = `${release}-system`;
const labelled = `${release}-labelled`;
const unlabelled = `${release}-unlabelled`;
const tests = join(import.meta.dirname, "..");
const minor = await serverMinor();

const pods: ReadonlyMap<string, Resource> = new Map(
  readdirSync(join(tests, "pods")).map((file) => [
    basename(file, ".yaml"),
    readYaml(join(tests, "pods", file)),
  ]),
);

beforeAll(async () => {
  for (const namespace of [system, labelled, unlabelled]) {
    await succeed("kubectl", ["create", "namespace", namespace]);
    // Pods name it, and the controller that makes `default` may not be as quick as we are.
    for (const account of ["agent", "test"]) {
      await succeed("kubectl", ["create", "serviceaccount", account, "--namespace", namespace]);
    }
  }
  await succeed("kubectl", [
    ...["label", "namespace", labelled],
    ...["turnpike.dev/injection=enabled", "pod-security.kubernetes.io/warn=restricted"],
  ]);
});

afterAll(async () => {
  for (const name of [release, `${release}-gateway`]) {
    await run("helm", ["uninstall", name, "--namespace", system, "--ignore-not-found"]);
  }
  await succeed("kubectl", ["delete", "namespace", system, labelled, unlabelled, "--timeout=120s"]);
});

describe("a gateway", () => {
  const name = `${release}-gateway`;

  it.each(["gateway", "gateway-everything", "gateway-claim", "gateway-openshift-ipv6"])(
    "of %s.yaml has no field that the server does not know",
    async (values) => {
      const rendered = await resources({ file: valuesOf(values) });
      // Its definition may not be there.
      const known = rendered.filter(({ kind }) => kind !== "ServiceMonitor");
      const here = known.map((resource) => inNamespace(resource, system));
      expect(await objections(system, here)).toBe("");
    },
  );

  it("is installed, upgraded and removed again", async () => {
    await helm("install", name, ["--values", valuesOf("gateway")]);
    const before = await checksum(name);
    await helm("upgrade", name, ["--reuse-values", "--set", "config.log.level=debug"]);
    expect(await checksum(name)).not.toBe(before);
    await helm("uninstall", name);
    await eventually("the gateway to be gone", () => nothingLeftOf(name));
  });
});

describe.runIf(minor < 36)("a cluster before 1.36", () => {
  it("is told so", async () => {
    const { code, stderr } = await run("helm", [
      ...["install", release, chart, "--namespace", system],
      ...["--values", valuesOf("injection")],
    ]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("needs Kubernetes 1.36");
  });
});

describe.runIf(minor >= 36)("injection", () => {
  beforeAll(async () => {
    const untouched = await tryOut(labelled, runnable(pod("bare")));
    if (isInjected(untouched)) throw new Error("another release injects pods here already");
    await helm("install", release, ["--values", valuesOf("injection")]);
    await eventually("the policy to be in force", async () =>
      isInjected(await tryOut(labelled, runnable(pod("bare")))) ? true : undefined,
    );
  });

  it.each([...pods.keys()])("makes of %s what kat says", async (name) => {
    const golden = readYaml(join(tests, "golden/pods/injection", `${name}.yaml`));
    expect(await tryOut(labelled, runnable(pod(name)))).toSatisfy(contains(runnable(golden)));
  });

  it("puts the sidecar first, with a token like any container", async () => {
    const { spec } = await make(labelled, runnable(pod("init-containers")));
    expect(spec.initContainers.map(({ name }: { name: string }) => name)).toEqual([
      ...["turnpike", "fetch", "another-sidecar"],
    ]);
    expect(spec.initContainers[0]).toMatchObject({
      restartPolicy: "Always",
      volumeMounts: [
        { name: "turnpike-state" },
        { name: expect.stringMatching(/^kube-api-access-/) as string },
      ],
    });
  });

  it("keeps a Guaranteed pod Guaranteed", async () => {
    const made = await tryOut(labelled, runnable(pod("guaranteed")));
    expect(made["status"].qosClass).toBe("Guaranteed");
  });

  it("leaves pods of other namespaces alone", async () => {
    expect(isInjected(await make(unlabelled, runnable(pod("bare"))))).toBe(false);
  });

  it("leaves pods without the label alone", async () => {
    const bare = runnable(pod("bare"));
    const plain = { ...bare, metadata: { name: "plain" } };
    expect(isInjected(await make(labelled, plain))).toBe(false);
  });

  it("refuses a list with a container that is not there, and says so", async () => {
    const listed = runnable(pod("named-containers"));
    const annotations = { "turnpike.dev/inject-containers": "agnet" };
    const wrong = { ...listed, metadata: { ...listed.metadata, annotations } };
    expect(await refusalOf(labelled, wrong as Resource)).toContain(
      "turnpike.dev/inject-containers names a container that the pod does not have",
    );
  });

  it("reaches the pods of a Job", async () => {
    const template = runnable(pod("job"));
    const labels = { "turnpike.dev/inject": "true" };
    await make(labelled, {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "rollout" },
      spec: { template: { metadata: { labels }, spec: template["spec"] } },
    } as unknown as Resource);
    const made = await eventually("the Job's pod", async () => {
      const selector = "batch.kubernetes.io/job-name=rollout";
      const { items } = await json<{ items: Resource[] }>("kubectl", [
        ...["get", "pods", "--namespace", labelled, "--selector", selector, "-o", "json"],
      ]);
      return items[0];
    });
    expect(isInjected(made)).toBe(true);
  });

  it("passes the restricted Pod Security standard", async () => {
    await succeed("kubectl", [
      ...["label", "namespace", labelled, "pod-security.kubernetes.io/enforce=restricted"],
    ]);
    const made = await eventually("the label to count", async () =>
      (await refusalOf(labelled, runnable(pod("bare"))).catch(() => undefined))?.includes(
        'container "agent" must set',
      )
        ? tryOut(labelled, restricted(runnable(pod("bare"))))
        : undefined,
    );
    expect(isInjected(made)).toBe(true);
    await succeed("kubectl", [
      ...["label", "namespace", labelled, "pod-security.kubernetes.io/enforce-"],
    ]);
  });

  it("follows an upgrade", async () => {
    await helm("upgrade", release, ["--values", valuesOf("injection-everything")]);
    const made = await eventually("the new policy", async () => {
      const { spec, metadata } = await tryOut(labelled, runnable(pod("bare")));
      const [agent] = spec.containers;
      return agent.env?.[0].value.includes(":9000/") ? { agent, metadata } : undefined;
    });
    expect(made.agent.env).toContainEqual({ name: "OPENAI_API_KEY", value: "sk-none" });
    expect(made.metadata).toMatchObject({
      annotations: { "eks.amazonaws.com/skip-containers": "agent" },
    });
  });

  it("ends with the release, of which nothing is left", async () => {
    await helm("uninstall", release);
    await eventually("the policy to be gone", async () =>
      isInjected(await tryOut(labelled, runnable(pod("bare")))) ? undefined : true,
    );
    expect(await eventually("the release to be gone", () => nothingLeftOf(release))).toBe(true);
  });
});

function valuesOf(name: string): string {
  return join(tests, "values", `${name}.yaml`);
}

function readYaml(file: string): Resource {
  return parse(readFileSync(file, "utf8")) as Resource;
}

function pod(name: string): Resource {
  const found = pods.get(name);
  if (found === undefined) throw new Error(`no pod ${name}`);
  return found;
}

/** Without an owner that is not there, and without the token's mount, which the server adds itself. */
function runnable(resource: Resource): Resource {
  const { ownerReferences, finalizers, ...metadata } = resource.metadata as Record<string, unknown>;
  const { volumes, containers, ...spec } = resource["spec"];
  const isToken = ({ name }: { name: string }): boolean => name.startsWith("kube-api-access-");
  return {
    ...resource,
    metadata: metadata as Resource["metadata"],
    spec: {
      serviceAccountName: "test",
      ...spec,
      ...(volumes && { volumes: volumes.filter((volume: { name: string }) => !isToken(volume)) }),
      containers: containers.map(({ volumeMounts, ...container }: Record<string, never[]>) => ({
        ...container,
        ...(volumeMounts && { volumeMounts: volumeMounts.filter((mount) => !isToken(mount)) }),
      })),
    },
  };
}

/** A pod whose own containers are as Pod Security wants them; the sidecar has to be so by itself. */
function restricted(resource: Resource): Resource {
  const securityContext = {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    runAsNonRoot: true,
    seccompProfile: { type: "RuntimeDefault" },
  };
  const containers = resource["spec"].containers.map((container: object) => ({
    ...container,
    securityContext,
  }));
  return { ...resource, spec: { ...resource["spec"], containers } };
}

function isInjected({ spec }: Resource): boolean {
  return spec.initContainers?.[0]?.name === "turnpike";
}

function inNamespace(resource: Resource, namespace: string): Resource {
  return { ...resource, metadata: { ...resource.metadata, namespace } as Resource["metadata"] };
}

async function helm(command: string, name: string, flags: readonly string[] = []): Promise<void> {
  const what = command === "uninstall" ? [name] : [name, chart];
  await succeed("helm", [command, ...what, "--namespace", system, ...flags]);
}

async function checksum(name: string): Promise<unknown> {
  const deployment = await json<Resource>("kubectl", [
    ...["get", "deployment", name, "--namespace", system, "-o", "json"],
  ]);
  return deployment["spec"].template.metadata.annotations["checksum/config"];
}

/** Of every kind that the chart has; `true` once there is none. */
async function nothingLeftOf(name: string): Promise<true | undefined> {
  const kinds = [
    ...["deployments", "replicasets", "pods", "services", "configmaps", "serviceaccounts"],
    ...["horizontalpodautoscalers", "poddisruptionbudgets", "networkpolicies"],
    ...(minor >= 36 ? ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"] : []),
  ];
  const selector = `app.kubernetes.io/instance=${name}`;
  const { items } = await json<{ items: unknown[] }>("kubectl", [
    ...["get", kinds.join(","), "--all-namespaces", "--selector", selector, "-o", "json"],
  ]);
  return items.length === 0 ? true : undefined;
}
