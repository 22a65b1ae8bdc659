/**
 * The two base images of the Dockerfile where no registry can be reached: Debian 13's own packages and
 * node from the npm package `node`, under the names that the Dockerfile asks for. Like the real ones
 * the builder has a shell and npm, and the last stage has neither a shell nor a package manager.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildah, hasImage } from "./buildah.ts";
import { cacheDirectory, run } from "./commands.ts";

const nodeVersion = "24.21.0";
const certificates = "/etc/ssl/certs/ca-certificates.crt";
/** Part of the file names, so that a change here is not answered with yesterday's images. */
const edition = `v2-${nodeVersion}`;

export interface Bases {
  readonly builder: string;
  readonly runtime: string;
}

/** Commits the stand-ins unless an earlier run has; both names are as the Dockerfile writes them. */
export function commitStandIns({ builder, runtime }: Bases): void {
  if (!(hasImage(runtime) && existsSync(mark(runtime)))) {
    commit(runtime, {
      variant: "extract",
      packages: ["base-files", "libc6", "libstdc++6", "libgcc-s1", "libatomic1", "tzdata"],
      fill: fillRuntime,
    });
  }
  if (!(hasImage(builder) && existsSync(mark(builder)))) {
    commit(builder, {
      variant: "essential",
      packages: ["libstdc++6", "libatomic1"],
      fill: fillBuilder,
    });
  }
}

function mark(image: string): string {
  return join(cacheDirectory, `${edition}-${image.replaceAll(/\W+/g, "-")}`);
}

interface Recipe {
  readonly variant: "extract" | "essential";
  readonly packages: readonly string[];
  readonly fill: (root: string) => void;
}

function commit(image: string, { variant, packages, fill }: Recipe): void {
  const work = mkdtempSync(join(tmpdir(), "turnpike-base-"));
  const root = join(work, "root");
  const include = `--include=${packages.join(",")}`;
  try {
    run("mmdebstrap", [`--variant=${variant}`, include, "trixie", root]);
    mkdirSync(join(root, "etc/ssl/certs"), { recursive: true });
    cpSync(certificates, join(root, certificates), { dereference: true });
    fill(root);
    const container = buildah("from", "scratch");
    buildah("add", "--quiet", container, root, "/");
    // node brings its own certificates; behind a proxy that has its own, npm needs these.
    buildah("config", "--env", `NODE_EXTRA_CA_CERTS=${certificates}`, container);
    buildah("commit", "--quiet", "--rm", container, image);
    writeFileSync(mark(image), "");
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** As in distroless: node at /nodejs/bin, a user `nonroot` with a home, nothing else to run. */
function fillRuntime(root: string): void {
  mkdirSync(join(root, "nodejs/bin"), { recursive: true });
  cpSync(join(nodePackages(), "node/bin/node"), join(root, "nodejs/bin/node"));
  mkdirSync(join(root, "home/nonroot"), { recursive: true });
  const user = "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
  writeFileSync(join(root, "etc/passwd"), `root:x:0:0:root:/root:/sbin/nologin\n${user}`);
  writeFileSync(join(root, "etc/group"), "root:x:0:\nnonroot:x:65532:\n");
}

function fillBuilder(root: string): void {
  cpSync(join(nodePackages(), "node/bin/node"), join(root, "usr/local/bin/node"));
  cpSync(join(nodePackages(), "npm"), join(root, "usr/local/lib/npm"), { recursive: true });
  run("ln", ["-s", "../lib/npm/bin/npm-cli.js", join(root, "usr/local/bin/npm")]);
}

/** `node_modules` with node itself and npm in it. */
function nodePackages(): string {
  const directory = join(cacheDirectory, `node-${nodeVersion}`);
  const packages = join(directory, "node_modules");
  if (!existsSync(join(packages, "node/bin/node"))) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "package.json"), '{ "allowScripts": { "node": true } }\n');
    run("npm", ["install", "--no-audit", "--no-fund", `node@${nodeVersion}`, "npm@11"], {
      cwd: directory,
    });
  }
  return packages;
}
