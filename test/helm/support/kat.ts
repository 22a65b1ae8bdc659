/** The injection policy, evaluated on pods by kat: no cluster. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { ofKind, type Resource, resources } from "./chart.ts";
import { run } from "./run.ts";

/** Pod name → the pod. */
export type Pods = ReadonlyMap<string, Resource>;

export interface PolicyOptions {
  /** The values' file that the policy is rendered with. */
  readonly values: string;
  /** Labels of the pods' namespace. */
  readonly namespaceLabels?: Readonly<Record<string, string>>;
}

/** The namespaces that injection is for. */
export const injectedNamespace = { "turnpike.dev/injection": "enabled" };

/** What the policy makes of each pod. Throws where it cannot be evaluated. */
export async function mutated(pods: Pods, options: PolicyOptions): Promise<Pods> {
  // kat only compares; what it got stands in its complaint about an expectation that nothing can meet.
  const impossible = { apiVersion: "none" } as unknown as Resource;
  const expected = new Map([...pods.keys()].map((name) => [name, impossible]));
  const failures = await evaluate(pods, expected, options);
  return new Map(
    [...pods.keys()].map((name) => {
      const output = failures.get(name) ?? "";
      const lines = output.split("\n").filter((line) => /^\+(?!\+\+)/.test(line));
      if (!output.startsWith("mutated object does not match"))
        throw new Error(`${name}: ${output}`);
      return [name, parse(lines.map((line) => line.slice(1)).join("\n")) as Resource];
    }),
  );
}

/** Which pods the policy makes into something else than expected, with kat's words for it. */
export async function evaluate(
  pods: Pods,
  expected: Pods,
  options: PolicyOptions,
): Promise<ReadonlyMap<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), "turnpike-kat-"));
  try {
    await writeSuite(folder, pods, { expected, ...options });
    const { stdout, stderr } = await run("kat", ["-json", folder]);
    return failuresOf(stdout, stderr, pods.size);
  } finally {
    await rm(folder, { recursive: true });
  }
}

interface SuiteOptions extends PolicyOptions {
  readonly expected: Pods;
}

async function writeSuite(folder: string, pods: Pods, options: SuiteOptions): Promise<void> {
  const { values, expected, namespaceLabels = injectedNamespace } = options;
  const rendered = await resources({ file: values });
  const policy = ofKind(rendered, "MutatingAdmissionPolicy");
  const binding = ofKind(rendered, "MutatingAdmissionPolicyBinding");
  await mkdir(join(folder, "tests"));
  await writeFile(join(folder, "policy.yaml"), stringify(policy));
  await writeFile(join(folder, "binding.yaml"), stringify(binding));
  const namespaceObject = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "rl", labels: namespaceLabels },
  };
  for (const [name, object] of pods) {
    const file = join(folder, "tests", `${policy.metadata.name}.${name}.allow`);
    const request = { operation: "CREATE", namespace: "rl", namespaceObject, object };
    await writeFile(`${file}.request.yaml`, stringify(request));
    await writeFile(`${file}.gold.yaml`, stringify(expected.get(name)));
  }
}

/** A line of `kat -json`. */
interface KatEvent {
  readonly action: string;
  /** `<policy>.<pod>.allow.yaml`; none for events of the whole suite. */
  readonly test?: string;
  readonly output?: string;
}

function failuresOf(stdout: string, stderr: string, tests: number): ReadonlyMap<string, string> {
  const events = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as KatEvent);
  const ended = events.filter(({ action, test }) => test !== undefined && /pass|fail/.test(action));
  if (ended.length !== tests) throw new Error(`kat ran ${ended.length} of ${tests}: ${stderr}`);
  return new Map(
    events.flatMap(({ test, output }) =>
      test === undefined || output === undefined ? [] : [[test.split(".")[1] ?? test, output]],
    ),
  );
}
