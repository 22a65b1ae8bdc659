/** The chart, rendered. */
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { run, succeed } from "./run.ts";

export const root = join(import.meta.dirname, "../../..");
export const chart = join(root, "helm/turnpike");

/** The Kubernetes version that templates are told unless a test says another. */
export const kubeVersion = "1.36.0";

export interface RenderOptions {
  /** The values' file. */
  readonly file?: string;
  /** `key=value`, as --set takes them. */
  readonly set?: readonly string[];
  readonly kubeVersion?: string;
  /** The chart's folder; turnpike's own otherwise. */
  readonly chart?: string;
}

/** A resource, as far as tests look into it. */
export interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  // biome-ignore lint/suspicious/noExplicitAny: as deep as Kubernetes
  readonly [key: string]: any;
}

/** What `helm template` prints. Throws where it refuses. */
export function render(options: RenderOptions): Promise<string> {
  return succeed("helm", templateArguments(options));
}

/** The resources of a rendering. */
export async function resources(options: RenderOptions): Promise<readonly Resource[]> {
  return parseAllDocuments(await render(options))
    .map((document) => document.toJS() as Resource | null)
    .filter((resource) => resource !== null);
}

/** The resource of that kind. Throws where there is none. */
export function ofKind(all: readonly Resource[], kind: string): Resource {
  const found = all.find((resource) => resource.kind === kind);
  if (found === undefined) throw new Error(`no ${kind} was rendered`);
  return found;
}

/** Why helm refuses, in one line. Throws where it does not. */
export async function refusal(options: RenderOptions): Promise<string> {
  const { code, stderr } = await run("helm", templateArguments(options));
  if (code === 0) throw new Error("helm did not refuse");
  return stderr.replaceAll(/\s+/g, " ").trim();
}

function templateArguments({ file, set = [], ...options }: RenderOptions): string[] {
  return [
    ...["template", "turnpike", options.chart ?? chart, "--namespace", "rl"],
    ...["--kube-version", options.kubeVersion ?? kubeVersion],
    ...(file === undefined ? [] : ["--values", file]),
    ...set.flatMap((assignment) => ["--set", assignment]),
  ];
}
