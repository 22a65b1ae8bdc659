/** One agent as a process: started in a group of its own, so that its signals and its deadline reach all of its children. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import type { Writable } from "node:stream";

export interface AgentProcessOptions {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What it reads; default: what this process reads. */
  readonly input?: string;
  /** Its standard output goes here and is kept; default: where this process's goes, and nothing is kept. */
  readonly output?: Writable | "keep";
  /** Where its standard error goes; default: where this process's goes. */
  readonly errors?: "keep";
  /** After this it is ended, in milliseconds; default never. */
  readonly timeoutMs?: number | undefined;
  /** From SIGTERM to SIGKILL, in milliseconds. */
  readonly graceMs: number;
}

export interface AgentExit {
  /** As a shell says it: the exit code, 128 + the signal's number, 127 and 126 when it could not be started. */
  readonly code: number;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
  /** It could not be started. */
  readonly startError: Error | undefined;
  /** The end of its standard output, where that was asked for. */
  readonly output: string;
  /** The end of its standard error, where that was asked for. */
  readonly errors: string;
  readonly durationMs: number;
}

/** Of each of the two outputs, in bytes: rewards are on the last lines. */
const maxKeptBytes = 1_048_576;

/** A child of the agent may hold its output open after the agent's end; it is not waited for longer than this. */
const outputGraceMs = 1_000;

export class AgentProcess {
  readonly exited: Promise<AgentExit>;
  readonly #child: ChildProcess;
  readonly #options: AgentProcessOptions;
  #timedOut = false;
  #killTimer: NodeJS.Timeout | undefined;

  constructor(options: AgentProcessOptions) {
    const [program = "", ...args] = options.command;
    this.#options = options;
    this.#child = spawn(program, args, {
      env: options.environment,
      detached: true,
      stdio: [
        options.input === undefined ? "inherit" : "pipe",
        options.output === undefined ? "inherit" : "pipe",
        options.errors === undefined ? "inherit" : "pipe",
      ],
    });
    this.exited = this.#run();
  }

  /** To the agent and all of its group. */
  kill(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // Already gone.
    }
  }

  /** SIGTERM, and SIGKILL for what is left after the grace. */
  end(): void {
    if (this.#killTimer !== undefined) return;
    this.kill("SIGTERM");
    this.#killTimer = setTimeout(() => this.kill("SIGKILL"), this.#options.graceMs);
  }

  async #run(): Promise<AgentExit> {
    const startedAt = performance.now();
    const { input, output, timeoutMs } = this.#options;
    const child = this.#child;
    // Not told by a throw: a program that does not read its input is no failure.
    child.stdin?.on("error", () => undefined).end(input);
    const kept = keepEnd(child.stdout, output === "keep" ? undefined : output);
    const keptErrors = keepEnd(child.stderr, undefined);
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            this.#timedOut = true;
            this.end();
          }, timeoutMs);
    // Ending turnpike in a hurry must not leave the agent behind.
    const onExit = (): void => this.kill("SIGKILL");
    process.once("exit", onExit);
    try {
      const { code, signal, startError } = await ended(child);
      return {
        code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]),
        signal,
        timedOut: this.#timedOut,
        startError,
        output: kept(),
        errors: keptErrors(),
        durationMs: performance.now() - startedAt,
      };
    } finally {
      process.off("exit", onExit);
      clearTimeout(timer);
      clearTimeout(this.#killTimer);
      // What it left behind in its group has had the same deadline.
      if (this.#timedOut) this.kill("SIGKILL");
    }
  }
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly startError: Error | undefined;
}

async function ended(child: ChildProcess): Promise<Ended> {
  const closed = once(child, "close");
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    const timer = setTimeout(() => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, outputGraceMs);
    await closed;
    clearTimeout(timer);
    return { code, signal, startError: undefined };
  } catch (thrown) {
    closed.catch(() => undefined);
    const startError = thrown as Error & { code?: string };
    return { code: startError.code === "ENOENT" ? 127 : 126, signal: null, startError };
  }
}

/** Passes the bytes on and keeps the last of them. */
function keepEnd(stream: ChildProcess["stdout"], passTo: Writable | undefined): () => string {
  let chunks: Buffer[] = [];
  let bytes = 0;
  stream?.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > 2 * maxKeptBytes) {
      chunks = [Buffer.concat(chunks).subarray(-maxKeptBytes)];
      bytes = maxKeptBytes;
    }
    if (passTo !== undefined && !passTo.write(chunk)) {
      stream.pause();
      passTo.once("drain", () => stream.resume());
    }
  });
  return () => Buffer.concat(chunks).subarray(-maxKeptBytes).toString("utf8");
}
