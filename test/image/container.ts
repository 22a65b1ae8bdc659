/**
 * Runs a command of an image as Kubernetes' restricted profile would: uid 65532, read-only root, no
 * capabilities, no new privileges, process 1 of its own PID namespace. The network is the machine's.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { ImageConfig } from "./buildah.ts";

export interface ContainerOptions {
  /** The image's files. */
  readonly root: string;
  readonly config: ImageConfig;
  /** In place of the image's CMD. */
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** A folder of this machine that appears, writable, as /tmp. */
  readonly tmp?: string;
}

const setUp = `
mount --make-rprivate / && mount --bind "$ROOT" "$ROOT" && mount -o remount,bind,ro "$ROOT" &&
{ [ -z "$TMP_DIRECTORY" ] || mount --bind "$TMP_DIRECTORY" "$ROOT/tmp"; } &&
mount -t proc proc "$ROOT/proc" || exit 125
root=$ROOT; unset ROOT TMP_DIRECTORY PWD OLDPWD
exec setpriv --no-new-privs chroot --userspec=65532:65532 "$root" "$@"`;

export class Container implements AsyncDisposable {
  stdout = "";
  stderr = "";
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;

  constructor({ root, config, args, environment = {}, tmp = "" }: ContainerOptions) {
    const image = Object.fromEntries(config.Env.map((line) => splitOnce(line, "=")));
    const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    this.#child = spawn(
      "unshare",
      ["-m", "-p", "-f", "--kill-child", "sh", "-c", setUp, "sh", ...config.Entrypoint, ...args],
      {
        env: { PATH: path, ...image, ...environment, ROOT: root, TMP_DIRECTORY: tmp },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.exited = once(this.#child, "close").then(([code]) => code as number | null);
  }

  /** Process 1 of the container as this machine numbers it; undefined when it has ended. */
  get pid(): number | undefined {
    const unshare = this.#child.pid;
    try {
      const children = readFileSync(`/proc/${unshare}/task/${unshare}/children`, "utf8").trim();
      return children === "" ? undefined : Number(children.split(" ")[0]);
    } catch {
      return undefined;
    }
  }

  /** A line of /proc/PID/status, e.g. `CapEff`. */
  status(name: string): string {
    const text = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)?.[1] ?? "";
  }

  signal(signal: NodeJS.Signals): void {
    const { pid } = this;
    if (pid !== undefined) process.kill(pid, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.exited;
  }
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + separator.length)];
}
