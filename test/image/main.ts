/**
 * `npm run test:image`: lint the Dockerfile, build it unmodified, look at the image, run it the way
 * Kubernetes' restricted profile would, make turns, stop it in the middle of one. Needs root on Debian
 * or Ubuntu; installs what it lacks. No engine and no registry: see stand-ins.ts.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildah, type ImageConfig, imageConfig, mountImage } from "./buildah.ts";
import { Checks } from "./checks.ts";
import { cacheDirectory, ensureDebianPackages, run } from "./commands.ts";
import { lintDockerfile } from "./hadolint.ts";
import { checkRuns } from "./runs.ts";
import { commitStandIns } from "./stand-ins.ts";

const root = join(import.meta.dirname, "../..");
const dockerfile = readFileSync(join(root, "Dockerfile"), "utf8");
const image = `localhost/turnpike-test:${process.pid}`;
const checks = new Checks();

mkdirSync(cacheDirectory, { recursive: true });
await checks.check("hadolint has nothing to say", () => lintDockerfile(join(root, "Dockerfile")));
const ready = await checks.check("stand-in bases are there", () => {
  ensureDebianPackages({ buildah: "buildah", mmdebstrap: "mmdebstrap", unshare: "util-linux" });
  commitStandIns({ builder: baseImage("NODE_IMAGE"), runtime: baseImage("RUNTIME_IMAGE") });
  return `${baseImage("NODE_IMAGE")}, ${baseImage("RUNTIME_IMAGE")}`;
});
if (ready !== undefined) {
  await checkImage().catch((error: unknown) =>
    checks.check("the run gets to its end", () => Promise.reject(error)),
  );
}
process.exitCode = checks.summary();

function baseImage(argument: string): string {
  const name = new RegExp(`^ARG ${argument}=(.*)$`, "m").exec(dockerfile)?.[1];
  if (name === undefined) throw new Error(`the Dockerfile has no ARG ${argument}`);
  return name;
}

async function checkImage(): Promise<void> {
  const built = await checks.check("the Dockerfile builds as it is", () => {
    const started = performance.now();
    buildah("build", "--pull-never", ...arguments_(), "--timestamp=0", "--tag", image, root);
    return `${((performance.now() - started) / 1000).toFixed(0)} s`;
  });
  if (built === undefined) return;
  const tmp = mkdtempSync(join(tmpdir(), "turnpike-image-"));
  chmodSync(tmp, 0o755);
  try {
    const config = imageConfig(image);
    await checkConfig(config);
    using files = mountImage(image);
    await checkFiles(files.path);
    await checkRuns({ checks, root: files.path, config, tmp });
  } finally {
    rmSync(tmp, { recursive: true, force: true });
    buildah("rmi", "--force", image);
    buildah("rmi", "--prune");
  }
}

function version(): string {
  const text = readFileSync(join(root, "package.json"), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}

function arguments_(): string[] {
  const revision = run("git", ["rev-parse", "HEAD"], { cwd: root });
  return ["--build-arg", `VERSION=${version()}`, "--build-arg", `REVISION=${revision}`];
}

async function checkConfig(config: ImageConfig): Promise<void> {
  await checks.check("it runs as a numeric user, stops by SIGTERM and names its version", () => {
    const label = config.Labels["org.opencontainers.image.version"];
    const found = [config.User, config.StopSignal, label].join(" ");
    expectEqual(found, `65532:65532 SIGTERM ${version()}`);
    return found;
  });
  await checks.check("the compile cache was filled with the entry point's own command", () => {
    const warmed = /^RUN \["\/nodejs\/bin\/node", "\/warm\/warm.ts", (.*)\]$/m.exec(
      dockerfile,
    )?.[1];
    expectEqual(JSON.stringify(config.Entrypoint), JSON.stringify(JSON.parse(`[${warmed}]`)));
  });
}

async function checkFiles(files: string): Promise<void> {
  await checks.check("there is no shell and no package manager in it", () => {
    const unwanted = ["bin/sh", "bin/bash", "usr/bin/apt", "usr/bin/npm", "usr/local/bin/npm"];
    expectEqual(unwanted.filter((path) => existsSync(join(files, path))).join(" "), "");
  });
  await checks.check("/app holds the bundle, its licences and the cache, nothing else", () => {
    expectEqual(readdirSync(join(files, "app")).sort().join(" "), "LICENSE compile-cache dist");
    const kilobytes = run("du", ["-sk", join(files, "app")]).split("\t")[0];
    return `${(Number(kilobytes) / 1024).toFixed(1)} MiB`;
  });
}

function expectEqual(actual: string, expected: string): void {
  if (actual !== expected) throw new Error(`${actual || "nothing"} instead of ${expected}`);
}
