/** Runs the tools of the chart's tests. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How execFile says that it went wrong: an exit code, or the system's word. */
interface Failure {
  readonly code?: number | string;
  readonly stdout?: string;
  readonly stderr?: string;
}

/** Runs a program that is on the PATH. Throws only where it is not there. */
export async function run(program: string, args: readonly string[]): Promise<Outcome> {
  try {
    const { stdout, stderr } = await execute(program, args, { maxBuffer: 64 * 1024 * 1024 });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as Failure;
    if (code === "ENOENT")
      throw new Error(`${program} is not on the PATH; .ci/helm.sh installs it`);
    if (typeof code !== "number") throw error;
    return { code, stdout: stdout ?? "", stderr: stderr ?? "" };
  }
}

/** As `run`, for what must not fail: its output. */
export async function succeed(program: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program, args);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** As `succeed`, for what prints JSON. */
export async function json<T>(program: string, args: readonly string[]): Promise<T> {
  return JSON.parse(await succeed(program, args)) as T;
}
