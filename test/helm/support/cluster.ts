/** A cluster, by kubectl and the KUBECONFIG of the environment. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import type { Resource } from "./chart.ts";
import { type Outcome, run, succeed } from "./run.ts";

/** The server's minor version: 36 for v1.36.2. */
export async function serverMinor(): Promise<number> {
  const { serverVersion } = JSON.parse(await succeed("kubectl", ["version", "-o", "json"]));
  return Number.parseInt(serverVersion.minor, 10);
}

/** Has the server do everything but keep it: admission, and strict validation of every field. */
export async function tryOut(namespace: string, resource: Resource): Promise<Resource> {
  const { code, stdout, stderr } = await create(namespace, [resource], ["--dry-run=server"]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Resource;
}

/** What the server has against these; empty where it would take them all. */
export async function objections(namespace: string, made: readonly Resource[]): Promise<string> {
  return (await create(namespace, made, ["--dry-run=server"])).stderr;
}

/** Why the server does not take it. */
export async function refusalOf(namespace: string, resource: Resource): Promise<string> {
  const { code, stderr } = await create(namespace, [resource], ["--dry-run=server"]);
  if (code === 0) throw new Error("the server did not refuse");
  return stderr;
}

/** Creates it; returns it as the server keeps it. */
export async function make(namespace: string, resource: Resource): Promise<Resource> {
  const { code, stdout, stderr } = await create(namespace, [resource], []);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Resource;
}

async function create(
  namespace: string,
  made: readonly Resource[],
  flags: readonly string[],
): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "turnpike-cluster-"));
  try {
    const file = join(folder, "resources.yaml");
    await writeFile(file, made.map((resource) => stringify(resource)).join("---\n"));
    return await run("kubectl", [
      ...["create", "--namespace", namespace, "--filename", file],
      ...["--validate=strict", "--output=json", ...flags],
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The first value that is there, tried every half second. Throws after a minute, with what was waited for. */
export async function eventually<T>(
  what: string,
  attempt: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const value = await attempt();
    if (value !== undefined) return value;
    await sleep(500);
  }
  throw new Error(`waited a minute for ${what}`);
}
