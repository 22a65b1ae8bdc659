/** The simulator as `dev` and `simulate` start it: options from the configuration, credentials made for the run. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { jobArnRegion } from "../job-arn.ts";
import type { AwsCredentials } from "../job-runtime/credentials.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "../simulator/simulator.ts";
import { type Listener, StartError, startError } from "./start-error.ts";

/** The job of a run that names none. */
export const devJobArn = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/dev";

/** A simulator that listens, and what its callers must know. */
export interface Simulation {
  readonly simulator: Simulator;
  readonly region: string;
  readonly credentials: AwsCredentials;
}

/** Starts it. Throws StartError when it cannot listen or an option of it is wrong. */
export async function startSimulation(
  config: Config,
  listeners: readonly Listener[],
): Promise<Simulation> {
  const region = simulatedRegion(config);
  const credentials = simulatedCredentials(config);
  const { host, port, wire, slice_bytes, event_delay_ms, faults } = config.simulator;
  const simulator = await startSimulator({
    host,
    port,
    region,
    credentials: [credentials],
    stream: { wire, sliceBytes: slice_bytes, eventDelayMs: event_delay_ms },
    model: modelOf(config),
    // The simulator checks them itself, strictly; its words come back as a StartError.
    faults: faults as NonNullable<SimulatorOptions["faults"]>,
    ...(config.state.dir === null ? {} : { stateDir: config.state.dir }),
  }).catch((error: unknown) => {
    const known = startError(error, config, listeners);
    if (known !== error || !(error instanceof Error) || error.name !== "Error") throw known;
    throw new StartError(`the simulator cannot start: ${error.message}`, { cause: error });
  });
  return { simulator, region, credentials };
}

/** Where to read what the simulator captured, for the banners. */
export function turnsHint(config: Config, { simulator }: Simulation): string {
  const { dir } = config.state;
  const file =
    dir === null
      ? "in memory; --state-dir DIR keeps them in a file too"
      : `and in ${join(dir, "turns.jsonl")}`;
  return `curl ${simulator.url}/_simulator/turns.jsonl   (${file})`;
}

/** The configured region, else the job's: one run has one. */
function simulatedRegion({ job_runtime, identity }: Config): string {
  return job_runtime.region ?? jobArnRegion(identity.job_arn ?? devJobArn) ?? "us-east-1";
}

/** Not a real key's prefix: it ends up in terminals and logs, where scanners look for those. */
function simulatedCredentials({ simulator }: Config): AwsCredentials {
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = simulator;
  if (accessKeyId !== null && secretAccessKey !== null) return { accessKeyId, secretAccessKey };
  return {
    accessKeyId: `TURNPIKE${randomBytes(6).toString("hex").toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString("base64url"),
  };
}

function modelOf({ simulator }: Config): NonNullable<SimulatorOptions["model"]> {
  const { script_file, upstream_url, upstream_api_key, upstream_model } = simulator;
  if (upstream_url === null) {
    return { kind: "scripted", ...(script_file === null ? {} : { scriptFile: script_file }) };
  }
  return {
    kind: "upstream",
    baseUrl: upstream_url,
    ...(upstream_api_key === null ? {} : { apiKey: upstream_api_key }),
    ...(upstream_model === null ? {} : { model: upstream_model }),
  };
}
