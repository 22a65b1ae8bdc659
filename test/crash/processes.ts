/** The simulator and the gateway as processes of their own: one survives, the other is killed again and again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const main = join(import.meta.dirname, "../../src/main.ts");

export const jobArn = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/crash";
const accessKeyId = "TURNPIKECRASHTEST";
const secretAccessKey = "crash-test-secret";

/** No settings of the caller's. */
const bareEnvironment = { HOME: join(tmpdir(), "nobody"), AWS_EC2_METADATA_DISABLED: "true" };

export interface SimulatorSettings {
  readonly faults: readonly object[];
  readonly eventDelayMs: number;
}

/** Resolves with its URL. */
export async function startSimulator(dir: string, settings: SimulatorSettings) {
  const child = spawn(process.execPath, [main, "simulate", "--port", "0"], {
    env: {
      ...bareEnvironment,
      TURNPIKE_SIMULATOR_ACCESS_KEY_ID: accessKeyId,
      TURNPIKE_SIMULATOR_SECRET_ACCESS_KEY: secretAccessKey,
      TURNPIKE_SIMULATOR_FAULTS: JSON.stringify(settings.faults),
      TURNPIKE_SIMULATOR_EVENT_DELAY_MS: String(settings.eventDelayMs),
    },
    stdio: ["ignore", "pipe", openSync(join(dir, "simulator.log"), "a")],
  });
  let said = "";
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    said += chunk.toString();
    const url = /turnpike simulate: (\S+)/.exec(said)?.[1];
    // The loop is left with the pipe open: a simulator without a reader would be ended by it.
    if (url !== undefined) return { url, child };
  }
  throw new Error(`The simulator did not start; see ${join(dir, "simulator.log")}.\n${said}`);
}

export interface GatewaySettings {
  /** Where state and log go. */
  readonly dir: string;
  readonly endpoint: string;
  /** Extra variables. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** `turnpike serve` on a port that stays the same over its deaths. */
export class GatewayProcess {
  readonly url: string;
  readonly opsUrl: string;
  readonly #settings: GatewaySettings;
  readonly #ports: readonly [number, number];
  #child: ChildProcess | undefined;

  private constructor(settings: GatewaySettings, ports: readonly [number, number]) {
    this.#settings = settings;
    this.#ports = ports;
    this.url = `http://127.0.0.1:${ports[0]}`;
    this.opsUrl = `http://127.0.0.1:${ports[1]}`;
  }

  static async create(settings: GatewaySettings): Promise<GatewayProcess> {
    return new GatewayProcess(settings, [await freePort(), await freePort()]);
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const { dir, endpoint, variables } = this.#settings;
    const log = openSync(join(dir, "gateway.log"), "a");
    const [port, opsPort] = this.#ports.map(String) as [string, string];
    const args = ["serve", "--port", port, "--ops-port", opsPort, "--job-arn", jobArn];
    const child = spawn(
      process.execPath,
      [main, ...args, "--endpoint", endpoint, "--state-dir", join(dir, "state")],
      {
        env: {
          ...bareEnvironment,
          AWS_ACCESS_KEY_ID: accessKeyId,
          AWS_SECRET_ACCESS_KEY: secretAccessKey,
          ...variables,
        },
        stdio: ["ignore", log, log],
      },
    );
    closeSync(log);
    this.#child = child;
    const ended = once(child, "exit");
    while (!(await answers(`${this.opsUrl}/livez`))) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`The gateway ended at its start; see ${join(dir, "gateway.log")}.`);
      }
      await Promise.race([sleep(20), ended]);
    }
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves with the exit code, or the signal, once it is gone. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<number | string | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return null;
    const gone = once(child, "exit");
    child.kill(signal);
    const [code, by] = (await gone) as [number | null, string | null];
    return code ?? by;
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
