/**
 * `npm run test:package`: pack, install the tarball in an empty folder, and run `npx turnpike dev` for
 * a plain and a streamed turn on node 24 and on the oldest node that package.json admits. Needs a
 * package registry, so it is no part of `npm test`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Checks } from "../image/checks.ts";
import { cacheDirectory, run } from "../image/commands.ts";

interface Manifest {
  readonly version: string;
  readonly engines: { readonly node: string };
}

const root = join(import.meta.dirname, "../..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
const oldestNode = manifest.engines.node.replace(">=", "");
const work = mkdtempSync(join(tmpdir(), "turnpike-package-"));
const checks = new Checks();
/** What node 22 says of its own `node:sqlite`. */
const sqliteWarning =
  /^\(node:\d+\) ExperimentalWarning: SQLite is an experimental feature.*\n\(Use `node --trace-warnings.*\n$/;

try {
  const tarball = await checks.check("npm pack", () =>
    join(
      work,
      run("npm", ["pack", "--pack-destination", work], { cwd: root }).split("\n").at(-1) ?? "",
    ),
  );
  if (tarball !== undefined) await checkPackage(tarball);
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exitCode = checks.summary();

async function checkPackage(tarball: string): Promise<void> {
  const folder = join(work, "empty");
  await checks.check("it installs in an empty folder", () => {
    mkdirSync(folder);
    writeFileSync(join(folder, "package.json"), "{}\n");
    run("npm", ["install", "--no-audit", "--no-fund", tarball], { cwd: folder });
  });
  await checks.check("its licences and sources' maps are in it", () => {
    const files = run("tar", ["-tzf", tarball]).split("\n");
    const wanted = ["LICENSE", "dist/THIRD_PARTY_LICENSES", "dist/gateway.js.map"];
    const missing = wanted.filter((name) => !files.includes(`package/${name}`));
    if (missing.length > 0) throw new Error(`no ${missing.join(", ")}`);
    return `${files.length} files`;
  });
  for (const version of ["24", oldestNode]) {
    const bin = await checks.check(`node ${version} is there`, () => nodeDirectory(version));
    if (bin === undefined) continue;
    const path = `${bin}:/usr/local/bin:/usr/bin:/bin`;
    const name = `node ${run("node", ["--version"], { variables: { PATH: path } })}`;
    await checks.check(`npx turnpike --version, ${name}`, () => {
      const said = run("npx", ["--no-install", "turnpike", "--version"], {
        cwd: folder,
        variables: { PATH: path },
      });
      if (said !== manifest.version) throw new Error(said);
      return said;
    });
    await checks.check(`npx turnpike dev, two turns, ${name}`, () => devTurns(folder, path));
  }
  await checks.check("dist/ alone, without node_modules, makes turns", () => {
    const alone = join(work, "alone");
    cpSync(join(folder, "node_modules/turnpike/dist"), join(alone, "dist"), { recursive: true });
    return turnsOf(spawnDev(process.execPath, [join(alone, "dist/turnpike.js")], alone));
  });
}

/** A folder with `node` in it, from the npm package `node`, kept between runs. */
function nodeDirectory(version: string): string {
  const directory = join(cacheDirectory, `node-${version}`);
  const bin = join(directory, "node_modules/node/bin");
  try {
    run(join(bin, "node"), ["--version"]);
  } catch {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "package.json"), '{ "allowScripts": { "node": true } }\n');
    run("npm", ["install", "--no-audit", "--no-fund", `node@${version}`], { cwd: directory });
  }
  return bin;
}

function devTurns(folder: string, path: string): Promise<string> {
  return turnsOf(spawnDev("npx", ["--no-install", "turnpike"], folder, path));
}

function spawnDev(
  command: string,
  args: readonly string[],
  cwd: string,
  path?: string,
): ChildProcess {
  const ports = ["--port", "0", "--ops-port", "0", "--simulator-port", "0"];
  return spawn(command, [...args, "dev", ...ports], {
    cwd,
    env: { HOME: work, PATH: path ?? dirname(process.execPath) },
    stdio: ["ignore", "pipe", "pipe"],
    // npx runs the program below a shell: all of them get the signal.
    detached: true,
  });
}

async function turnsOf(child: ChildProcess): Promise<string> {
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const closed = once(child, "close");
  try {
    const base = await printedBase(child);
    const plain = await turn(base, false);
    const streamed = await turn(base, true);
    if (!plain.includes('"chat.completion"')) throw new Error(plain);
    if (!streamed.trimEnd().endsWith("data: [DONE]")) throw new Error(streamed);
  } finally {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
    await closed;
  }
  if (said !== "" && !sqliteWarning.test(said)) throw new Error(`said on standard error: ${said}`);
  return "plain and streamed";
}

/** The base URL of its banner. Standard output is read on to the end, or its log could not be written. */
function printedBase(child: ChildProcess): Promise<string> {
  let printed = "";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  child.stdout?.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
    const base = /export OPENAI_BASE_URL=(\S+)/.exec(printed)?.[1];
    if (base !== undefined) resolve(base);
  });
  child.once("close", () => reject(new Error(`ended without its banner:\n${printed}`)));
  return promise;
}

async function turn(base: string, stream: boolean): Promise<string> {
  const messages = [{ role: "user", content: "Hello" }];
  const response = await fetch(`${base}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "default", stream, messages }),
    signal: AbortSignal.timeout(30_000),
  });
  return await response.text();
}
