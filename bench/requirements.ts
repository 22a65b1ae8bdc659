/** What the harness needs of the machine, and the peers it installs for itself. */
import { spawnSync } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { availableParallelism, platform } from "node:os";
import { delimiter, join } from "node:path";
import { say } from "./bench.ts";
import { peers, peerVersion } from "./targets.ts";

/** Program → Debian package. */
const programs = { nginx: "nginx-light", wrk: "wrk", taskset: "util-linux" } as const;
const minimumOpenFiles = 4_096;

/** What stands in the way of a run, each with the way out; empty when nothing does. */
export function findObstacles(): string[] {
  if (platform() !== "linux")
    return ["the benchmark pins processes and reads /proc: it needs Linux"];
  const obstacles: string[] = [];
  const missing = Object.entries(programs).filter(([program]) => !isOnPath(program));
  if (missing.length > 0) {
    const names = missing.map(([program]) => program).join(", ");
    const packages = missing.map(([, debianPackage]) => debianPackage).join(" ");
    obstacles.push(
      `${names} not found; run: apt-get update && apt-get install -y --no-install-recommends ${packages}`,
    );
  }
  if (availableParallelism() < 2) {
    obstacles.push("two cores are needed: one for the proxy, one for upstream and load");
  }
  const openFiles = openFilesLimit();
  if (openFiles < minimumOpenFiles) {
    obstacles.push(
      `the hard limit of open files is ${openFiles}; 1,000 streams need ${minimumOpenFiles} (ulimit -Hn)`,
    );
  }
  return obstacles;
}

/** Debian keeps nginx in /usr/sbin, which is not on everybody's PATH. */
export function extendPath(): void {
  process.env["PATH"] = [process.env["PATH"], "/usr/local/sbin", "/usr/sbin"].join(delimiter);
}

/** Installs the peers from their lock file, unless these versions are there. Throws when npm fails. */
export function installPeers(): void {
  const { dependencies, overrides } = JSON.parse(
    readFileSync(join(peers, "package.json"), "utf8"),
  ) as Record<"dependencies" | "overrides", Record<string, string>>;
  const wanted = Object.entries({ ...dependencies, ...overrides });
  if (wanted.every(([name, version]) => peerVersion(name) === version)) return;
  say("installing the peers into bench/peers/node_modules (npm ci)");
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], {
    cwd: peers,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) throw new Error(`npm ci in ${peers} failed (exit code ${status})`);
}

function isOnPath(program: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The hard limit: Node raises its own soft limit to it at start. */
function openFilesLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  return hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard);
}
