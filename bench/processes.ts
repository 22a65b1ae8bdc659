/** Child processes pinned to a core, and nothing of them left behind however the harness ends. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The proxy under test has this core to itself. */
export const proxyCore = 0;
/** Upstream, load generator and harness share this one. */
export const loadCore = 1;

const stopGraceMs = 5_000;
const tailCharacters = 2_000;

const running = new Set<ChildProcess>();
const temporary = new Set<string>();

export interface ChildOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly core: number;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** Directory for the file that takes the child's output. */
  readonly logDirectory: string;
}

export interface Child extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** Undefined while it runs, afterwards how it ended. */
  exit(): string | undefined;
  /** The end of what it wrote, both streams. */
  tail(): string;
  /** Empties the output file, so that a logging child cannot fill the disk. */
  truncateLog(): void;
  /** SIGSTOP: it takes no CPU while another is measured. */
  pause(): void;
  resume(): void;
  /** SIGTERM, then SIGKILL after 5 s. */
  stop(): Promise<void>;
}

/** Starts a program on one core, its output in a file as a service manager would have it. */
export function startChild(options: ChildOptions): Child {
  const logFile = join(options.logDirectory, `${options.name}.log`);
  const log = openSync(logFile, "a");
  const child = spawn("taskset", ["-c", String(options.core), options.command, ...options.args], {
    stdio: ["ignore", log, log],
    env: options.env ?? process.env,
    cwd: options.cwd,
  });
  closeSync(log);
  running.add(child);
  let ended: string | undefined;
  const end = Promise.withResolvers<void>();
  const finish = (how: string) => {
    ended ??= how;
    running.delete(child);
    end.resolve();
  };
  child.once("exit", (code, signal) => finish(signal ?? `exit code ${code}`));
  child.once("error", (error) => finish(error.message));

  const stop = async () => {
    if (ended !== undefined) return;
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    await Promise.race([end.promise, sleep(stopGraceMs, undefined, { ref: false })]);
    child.kill("SIGKILL");
    await end.promise;
  };
  return {
    name: options.name,
    pid: child.pid ?? -1,
    exit: () => ended,
    tail: () => readFileSync(logFile, "utf8").slice(-tailCharacters).trim(),
    truncateLog: () => truncateSync(logFile),
    pause: () => child.kill("SIGSTOP"),
    resume: () => child.kill("SIGCONT"),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Runs a program on one core to its end and gives its standard output. Rejects when it fails. */
export function runToEnd(core: number, command: readonly string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = execFile("taskset", ["-c", String(core), ...command], (error, stdout) => {
    running.delete(child);
    if (error === null) resolve(stdout);
    else reject(error);
  });
  running.add(child);
  return promise;
}

export interface Readiness {
  readonly child: Child;
  /** True once the child serves; it may throw while the child does not listen yet. */
  readonly probe: () => Promise<boolean>;
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
}

/** Resolves when the probe holds; throws with the child's last output when it ends or takes too long. */
export async function waitUntilReady(readiness: Readiness): Promise<void> {
  const { child, probe, intervalMs = 20, timeoutMs = 30_000 } = readiness;
  const deadline = performance.now() + timeoutMs;
  while (!(await probe().catch(() => false))) {
    const exit = child.exit();
    const late = performance.now() > deadline;
    if (exit !== undefined || late) {
      const what = exit === undefined ? `was not ready after ${timeoutMs} ms` : `ended (${exit})`;
      throw new Error(`${child.name} ${what}; its last output:\n${child.tail() || "(none)"}`);
    }
    await sleep(intervalMs);
  }
}

/** A port nothing listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

/** A directory that is gone when the harness ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "turnpike-bench-"));
  temporary.add(directory);
  return directory;
}

/** Arranges that every child and every temporary directory goes when this process does. */
export function cleanUpOnExit(): void {
  process.once("exit", () => {
    for (const child of running) child.kill("SIGKILL");
    for (const directory of temporary) rmSync(directory, { recursive: true, force: true });
  });
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    process.once(signal, () => process.exit(code));
  }
}
