/** `node src/main.ts …` as a child process, with nothing of this process's settings. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";

const main = join(import.meta.dirname, "../../src/main.ts");

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class TurnpikeProcess implements AsyncDisposable {
  stdout = "";
  stderr = "";
  readonly #child: ChildProcess;
  readonly exited: Promise<Exit>;

  constructor(args: readonly string[], variables: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(process.execPath, [main, ...args], {
      // No HOME of anyone's, and no metadata service to wait for.
      env: { HOME: join(tmpdir(), "nobody"), AWS_EC2_METADATA_DISABLED: "true", ...variables },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.exited = once(this.#child, "close").then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
    }));
  }

  /** The match once standard output has it; rejects when the process ends without. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    const found = (): RegExpExecArray | null => pattern.exec(this.stdout);
    const ended = this.exited.then(() => "ended" as const);
    for (;;) {
      const match = found();
      if (match) return match;
      const more = this.#child.stdout ? once(this.#child.stdout, "data") : ended;
      if ((await Promise.race([more, ended])) !== "ended") continue;
      const last = found();
      if (last) return last;
      throw new Error(`ended without ${pattern}:\n${this.stdout}\n${this.stderr}`);
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}

/** Runs it to its end. */
export async function runTurnpike(
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  await using turnpike = new TurnpikeProcess(args, variables);
  const { code } = await turnpike.exited;
  return { code, stdout: turnpike.stdout, stderr: turnpike.stderr };
}
