/**
 * Every key turnpike understands: its type, default, unit and environment variable, once.
 * `load.ts` reads it to merge file, environment and flags; `config.example.yaml` and
 * `config.schema.json` are generated from it.
 */
import { z } from "zod";
import { delivery, rollouts } from "./delivery-schema.ts";
import {
  count,
  endpointUrl,
  host,
  httpUrl,
  jobArn,
  key,
  milliseconds,
  port,
  secretKey,
} from "./key.ts";
import { circuit, retries } from "./retry-schema.ts";
import { agent, auxiliary, ingress, sampling } from "./rollout-schema.ts";

const server = z.strictObject({
  host: key(
    host.default("127.0.0.1"),
    "TURNPIKE_HOST",
    "Address the gateway listens on. One that is not loopback needs server.api_keys.",
  ),
  port: key(port.default(8484), "TURNPIKE_PORT", "Port of the gateway; 0 takes a free one."),
  api_keys: secretKey(
    z.array(z.string().min(8).max(512)).default([]),
    "TURNPIKE_API_KEY",
    "Keys a caller must present as `Authorization: Bearer …`; none means no key is asked for. The variable takes several, separated by commas.",
  ),
  allowed_hosts: key(
    z.array(host).default([]),
    "TURNPIKE_ALLOWED_HOSTS",
    "Host names a request's Host header may carry besides the loopback names and server.host.",
  ),
  public_url: key(
    httpUrl.nullable().default(null),
    "TURNPIKE_PUBLIC_URL",
    "The gateway's URL as agents reach it, for the base_url that POST /rollouts answers with. None: the address it listens on.",
  ),
  max_body_bytes: key(
    count.max(1_073_741_824).default(33_554_432),
    "TURNPIKE_MAX_BODY_BYTES",
    "Largest request body, in bytes; a larger one is answered 413.",
  ),
  max_header_bytes: key(
    z.int().min(1024).max(1_048_576).default(16_384),
    "TURNPIKE_MAX_HEADER_BYTES",
    "Largest request header block, in bytes; a larger one is answered 431.",
  ),
  max_concurrent_turns: key(
    count.max(100_000).default(1024),
    "TURNPIKE_MAX_CONCURRENT_TURNS",
    "Turns in flight at once; one more is answered 429 with retry-after-ms.",
  ),
});

const ops = z.strictObject({
  host: key(
    host.default("127.0.0.1"),
    "TURNPIKE_OPS_HOST",
    "Address of the ops listener (/livez, /readyz, /metrics). It holds no rollout data.",
  ),
  port: key(
    port.default(8486),
    "TURNPIKE_OPS_PORT",
    "Port of the ops listener; 0 takes a free one.",
  ),
});

const jobRuntime = z.strictObject({
  region: key(
    z
      .string()
      .regex(/^[a-z]{2}(-[a-z]+)+-\d+$/, "must be a region such as us-east-1")
      .nullable()
      .default(null),
    ["TURNPIKE_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"],
    "Region of the service. None: the job ARN's.",
  ),
  endpoint: key(
    endpointUrl.nullable().default(null),
    [
      "TURNPIKE_ENDPOINT",
      "AWS_ENDPOINT_URL_SAGEMAKERJOBRUNTIME",
      "RFT_RUNTIME_ENDPOINT",
      "AWS_ENDPOINT_URL",
    ],
    "URL of the service when it is not the region's own, e.g. a simulator's. None: the region's.",
  ),
  fips: key(
    z.boolean().default(false),
    ["TURNPIKE_FIPS", "AWS_USE_FIPS_ENDPOINT"],
    "Use the FIPS endpoint. Together with job_runtime.endpoint it is an error.",
  ),
});

const proxy = z.strictObject({
  https: key(
    httpUrl.nullable().default(null),
    ["TURNPIKE_HTTPS_PROXY", "https_proxy", "HTTPS_PROXY"],
    "Proxy towards an https endpoint of the service.",
  ),
  http: key(
    httpUrl.nullable().default(null),
    ["TURNPIKE_HTTP_PROXY", "http_proxy", "HTTP_PROXY"],
    "Proxy towards an http endpoint of the service.",
  ),
  none_for: key(
    z.string().max(10_000).nullable().default(null),
    ["TURNPIKE_NO_PROXY", "no_proxy", "NO_PROXY"],
    "Hosts reached without the proxy, separated by commas: `.example.com`, `10.0.0.1`, `*`.",
  ),
});

const identity = z.strictObject({
  job_arn: key(
    jobArn.nullable().default(null),
    "TURNPIKE_JOB_ARN",
    "The job of requests that name none.",
  ),
  trajectory_id: key(
    z.string().min(1).max(256).nullable().default(null),
    "TURNPIKE_TRAJECTORY_ID",
    "The trajectory of requests that name none: one rollout per pod.",
  ),
  allowed_jobs: key(
    z.array(jobArn).default([]),
    "TURNPIKE_ALLOWED_JOBS",
    "Job ARNs a request may name; none listed means any.",
  ),
});

const timeouts = z.strictObject({
  connect_ms: key(
    milliseconds.default(5_000),
    "TURNPIKE_TIMEOUTS_CONNECT_MS",
    "To connect to the service, TLS included, in milliseconds.",
  ),
  first_byte_ms: key(
    milliseconds.default(600_000),
    "TURNPIKE_TIMEOUTS_FIRST_BYTE_MS",
    "From the request to the first byte of the model's answer, in milliseconds.",
  ),
  idle_ms: key(
    milliseconds.default(300_000),
    "TURNPIKE_TIMEOUTS_IDLE_MS",
    "Between two bytes of the model's answer, in milliseconds.",
  ),
  total_ms: key(
    milliseconds.default(900_000),
    "TURNPIKE_TIMEOUTS_TOTAL_MS",
    "For a whole turn, in milliseconds.",
  ),
  ping_ms: key(
    milliseconds.default(15_000),
    "TURNPIKE_TIMEOUTS_PING_MS",
    "Silence in a begun stream after which a `: ping` comment is sent, in milliseconds.",
  ),
});

const stream = z.strictObject({
  done_marker: key(
    z.enum(["required", "optional"]).default("required"),
    "TURNPIKE_STREAM_DONE_MARKER",
    "`required`: a stream that ends without `data: [DONE]` ends with an error event. `optional`: one whose last chunk carried a finish_reason counts as whole.",
  ),
});

const models = key(
  z.array(z.string().min(1).max(256)).min(1).default(["default"]),
  "TURNPIKE_MODELS",
  "What GET /v1/models lists.",
);

const state = z.strictObject({
  dir: key(
    z.string().min(1).nullable().default(null),
    "TURNPIKE_STATE_DIR",
    "Folder for what must survive a restart: completions and rewards under way, turn counts. One process each. None: everything is kept in memory.",
  ),
});

const shutdown = z.strictObject({
  drain_ms: key(
    milliseconds.default(30_000),
    "TURNPIKE_SHUTDOWN_DRAIN_MS",
    "How long turns in flight and deliveries may go on after SIGTERM, in milliseconds.",
  ),
  open_rollouts: key(
    z.enum(["leave", "fail"]).default("leave"),
    "TURNPIKE_SHUTDOWN_OPEN_ROLLOUTS",
    "What becomes of rollouts that this process has seen and nobody has completed. `leave`: nothing, another process may go on with them. `fail`: they are completed as failed.",
  ),
});

const log = z.strictObject({
  level: key(
    z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
    "TURNPIKE_LOG_LEVEL",
    "Least level logged; a turn is one line at info.",
  ),
});

const simulator = z.strictObject({
  host: key(host.default("127.0.0.1"), "TURNPIKE_SIMULATOR_HOST", "Address of the simulator."),
  port: key(
    port.default(8485),
    "TURNPIKE_SIMULATOR_PORT",
    "Port of the simulator; 0 takes a free one.",
  ),
  access_key_id: key(
    z
      .string()
      .regex(/^\w{16,128}$/, "must be 16 to 128 letters, digits or underscores")
      .nullable()
      .default(null),
    "TURNPIKE_SIMULATOR_ACCESS_KEY_ID",
    "Access key id whose signatures the simulator takes. None: one made for the run.",
  ),
  secret_access_key: secretKey(
    z.string().min(8).max(512).nullable().default(null),
    "TURNPIKE_SIMULATOR_SECRET_ACCESS_KEY",
    "The secret that goes with simulator.access_key_id.",
  ),
  wire: key(
    z.enum(["eventstream", "sse", "json", "bare-json"]).default("eventstream"),
    "TURNPIKE_SIMULATOR_WIRE",
    "Form in which the simulator streams: PayloadPart frames, bare SSE, one JSON answer, or frames of bare JSON chunks.",
  ),
  slice_bytes: key(
    z.int().min(0).max(1_048_576).default(0),
    "TURNPIKE_SIMULATOR_SLICE_BYTES",
    "Bytes per PayloadPart; 0 puts one SSE event into each.",
  ),
  event_delay_ms: key(
    z.int().min(0).max(60_000).default(0),
    "TURNPIKE_SIMULATOR_EVENT_DELAY_MS",
    "Pause between two events of a stream, in milliseconds.",
  ),
  script_file: key(
    z.string().min(1).nullable().default(null),
    "TURNPIKE_SIMULATOR_SCRIPT_FILE",
    "JSON or YAML script of the scripted model's answers.",
  ),
  upstream_url: key(
    httpUrl.nullable().default(null),
    "TURNPIKE_SIMULATOR_UPSTREAM_URL",
    "Base URL of an OpenAI-compatible server (Ollama, vLLM, …) that answers in the scripted model's place, e.g. http://127.0.0.1:11434/v1.",
  ),
  upstream_api_key: secretKey(
    z.string().min(1).nullable().default(null),
    "TURNPIKE_SIMULATOR_UPSTREAM_API_KEY",
    "Key for simulator.upstream_url.",
  ),
  upstream_model: key(
    z.string().min(1).nullable().default(null),
    "TURNPIKE_SIMULATOR_UPSTREAM_MODEL",
    "Model name to ask simulator.upstream_url for, whatever the agent says.",
  ),
  faults: key(
    z.array(z.record(z.string(), z.unknown())).default([]),
    "TURNPIKE_SIMULATOR_FAULTS",
    "Fault rules, as PUT /_simulator/faults takes them; the variable takes JSON.",
  ),
});

export const configSchema = z.strictObject({
  server: server.prefault({}),
  ops: ops.prefault({}),
  job_runtime: jobRuntime.prefault({}),
  proxy: proxy.prefault({}),
  identity: identity.prefault({}),
  timeouts: timeouts.prefault({}),
  retries: retries.prefault({}),
  circuit: circuit.prefault({}),
  stream: stream.prefault({}),
  models,
  sampling: sampling.prefault({}),
  auxiliary,
  ingress: ingress.prefault({}),
  agent: agent.prefault({}),
  rollouts: rollouts.prefault({}),
  delivery: delivery.prefault({}),
  state: state.prefault({}),
  shutdown: shutdown.prefault({}),
  log: log.prefault({}),
  simulator: simulator.prefault({}),
});

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** The whole configuration, validated and frozen. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;
