/** Debian's buildah without an engine: its own storage below the cache directory, no namespaces. */
import { join } from "node:path";
import { cacheDirectory, run } from "./commands.ts";

const storage = [
  "--root",
  join(cacheDirectory, "containers/storage"),
  "--runroot",
  join(cacheDirectory, "containers/run"),
];

export function buildah(...args: readonly string[]): string {
  return run("buildah", [...storage, ...args], {
    variables: { STORAGE_DRIVER: "vfs", BUILDAH_ISOLATION: "chroot" },
  });
}

export function hasImage(name: string): boolean {
  try {
    buildah("inspect", "--type", "image", name);
    return true;
  } catch {
    return false;
  }
}

export interface ImageConfig {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Env: readonly string[];
  readonly WorkingDir: string;
  readonly StopSignal: string;
  readonly Labels: Readonly<Record<string, string>>;
}

export function imageConfig(name: string): ImageConfig {
  const said = JSON.parse(buildah("inspect", "--type", "image", name)) as {
    readonly OCIv1: { readonly config: ImageConfig };
  };
  return said.OCIv1.config;
}

/** The image's files, mounted; `await using` takes the mount away again. */
export function mountImage(name: string): Disposable & { readonly path: string } {
  const container = buildah("from", "--pull-never", name);
  const path = buildah("mount", container);
  return { path, [Symbol.dispose]: () => void buildah("rm", container) };
}
