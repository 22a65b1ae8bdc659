/** A gateway on free ports in front of a simulator, as `turnpike dev` puts them together. */
import { Writable } from "node:stream";
import { configSchema } from "../../src/config/schema.ts";
import { createGateway, type Gateway, type GatewayOverrides } from "../../src/gateway.ts";
import { type AwsCredentials, createCredentialSource } from "../../src/job-runtime/credentials.ts";
import type { Simulator, SimulatorOptions } from "../../src/simulator/simulator.ts";
import { createLogger } from "../../src/telemetry/log.ts";
import { startTestSimulator, testCredentials, testJobArn } from "./simulator.ts";

export interface PairOptions {
  /** Configuration sections, as in the YAML file. */
  readonly config?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly simulator?: Partial<SimulatorOptions>;
  readonly credentials?: () => Promise<AwsCredentials>;
  readonly overrides?: Partial<GatewayOverrides>;
}

export interface Pair extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly simulator: Simulator;
  /** Everything the gateway has logged so far, as text. */
  logged(): string;
}

/** Starts both; `await using` closes them. Requests that name no trajectory are refused unless `config` says otherwise. */
export async function startPair(options: PairOptions = {}): Promise<Pair> {
  const simulator = await startTestSimulator(options.simulator);
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString("utf8"));
      done();
    },
  });
  const gateway = await startGateway({
    ...options,
    endpoint: simulator.url,
    overrides: { log: createLogger({ level: "trace", destination }), ...options.overrides },
  });
  return {
    gateway,
    simulator,
    logged: () => lines.join(""),
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await simulator.close();
    },
  };
}

/** A gateway alone, towards whatever listens at `endpoint`. */
export function startGateway(
  options: Omit<PairOptions, "simulator"> & { readonly endpoint: string },
): Promise<Gateway> {
  const { config = {}, credentials = () => Promise.resolve(testCredentials) } = options;
  const parsed = configSchema.parse({
    ...config,
    server: { port: 0, ...config["server"] },
    ops: { port: 0, ...config["ops"] },
    identity: { job_arn: testJobArn, ...config["identity"] },
    shutdown: { drain_ms: 100, ...config["shutdown"] },
    log: { level: "silent" },
  });
  return createGateway(parsed, {
    credentials: createCredentialSource({ provider: credentials }),
    endpoint: options.endpoint,
    region: "us-east-1",
    ...options.overrides,
  });
}

/** A chat completion request for `trajectory`, raw. */
export function chat(
  gateway: Gateway,
  trajectory: string,
  options: {
    body?: object;
    text?: string;
    headers?: Record<string, string>;
    signal?: AbortSignal;
  } = {},
): Promise<Response> {
  const body = options.text ?? JSON.stringify({ ...hello, ...options.body });
  return fetch(`${gateway.url}/rollouts/${encodeURIComponent(trajectory)}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...options.headers },
    body,
    ...(options.signal ? { signal: options.signal } : {}),
  });
}

export const hello = { model: "test-model", messages: [{ role: "user", content: "Hello" }] };

/** The error of an OpenAI-shaped answer. */
export async function errorOf(response: Response): Promise<Record<string, unknown>> {
  const { error } = (await response.json()) as { error: Record<string, unknown> };
  return error;
}
