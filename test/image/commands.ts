import { execFileSync, spawnSync } from "node:child_process";
import { homedir } from "node:os";
import { join } from "node:path";

/** What is worth keeping from one run to the next: tools, stand-in bases, downloads. */
export const cacheDirectory = join(homedir(), ".cache/turnpike-ci");

export interface RunOptions {
  readonly cwd?: string;
  /** Beside the variables of this process. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** Runs it and returns its standard output, trimmed. Throws with what it said when it fails. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): string {
  const variables = Object.entries(options.variables ?? {}).map(
    ([name, value]) => `${name}=${value}`,
  );
  const { status, stdout, stderr, error } = spawnSync("env", [...variables, command, ...args], {
    cwd: options.cwd,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error) throw error;
  if (status === 0) return stdout.trim();
  throw new Error(`${command} ${args[0] ?? ""} ended with ${status}:\n${stdout}\n${stderr}`);
}

/** Whether the shell finds it. */
export function has(command: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" }).status === 0;
}

/** Installs Debian packages unless all of their commands are there. */
export function ensureDebianPackages(commands: Readonly<Record<string, string>>): void {
  const missing = Object.entries(commands).filter(([command]) => !has(command));
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  execFileSync("apt-get", ["update", "-qq"], { stdio: "ignore" });
  run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], {
    variables: { DEBIAN_FRONTEND: "noninteractive" },
  });
}
