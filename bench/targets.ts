/** The proxies under test: how each is started, called, and what it must answer. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { answersOk, type Call } from "./client.ts";
import { repository, type TargetName } from "./options.ts";
import type { CallKind, Payloads } from "./payloads.ts";
import { type Child, freePort, proxyCore, startChild, waitUntilReady } from "./processes.ts";

export const peers = join(import.meta.dirname, "peers");

export interface StartOptions {
  readonly payloads: Payloads;
  /** The program to run as turnpike, from the repository's root. */
  readonly entry: string;
  readonly upstreamPort: number;
  /** For logs, and the target's home: nothing of the user's is read. */
  readonly directory: string;
  /** Where a compile cache may be kept; by default in `directory`. */
  readonly cacheDirectory?: string;
  readonly readyIntervalMs?: number;
}

export interface RunningTarget extends AsyncDisposable {
  readonly name: TargetName;
  readonly child: Child;
  /** From spawn to the first 200 on the ready path. */
  readonly readyAfterMs: number;
  /** A request of the kind, ready to send; each rollout is a trajectory of its own. */
  call(kind: CallKind, rollout?: number): Call & { readonly headers: Record<string, string> };
  /** The body that must come back. */
  expected(kind: CallKind): Buffer;
}

interface Setting {
  readonly entry: string;
  readonly own: number;
  readonly ops: number;
  readonly upstream: number;
}

interface Target {
  /** As in the table's head. */
  readonly title: string;
  args(setting: Setting): string[];
  env(setting: Setting): Record<string, string>;
  ready(setting: Setting): { port: number; path: string };
  path(kind: CallKind, rollout: number): string;
  headers(kind: CallKind, setting: Setting): Record<string, string>;
  readonly streamWire: "frames" | "sse";
}

const operation = { json: "sample", stream: "sample-with-response-stream" } as const;

export const targets: Record<TargetName, Target> = {
  floor: {
    title: "floor",
    args: ({ own, upstream }) => [
      join(import.meta.dirname, "floor.ts"),
      String(own),
      String(upstream),
    ],
    env: () => ({}),
    ready: ({ own }) => ({ port: own, path: "/floor/ready" }),
    path: (kind) => `/floor/${operation[kind]}`,
    headers: () => ({}),
    streamWire: "frames",
  },
  portkey: {
    title: "Portkey",
    args: ({ own }) => [
      join(peers, "node_modules/@portkey-ai/gateway/build/start-server.js"),
      "--headless",
      `--port=${own}`,
    ],
    env: () => ({ TRUSTED_CUSTOM_HOSTS: "127.0.0.1" }),
    ready: ({ own }) => ({ port: own, path: "/" }),
    path: () => "/v1/chat/completions",
    headers: (kind, { upstream }) => ({
      authorization: "Bearer x",
      "x-portkey-provider": "openai",
      "x-portkey-custom-host": `http://127.0.0.1:${upstream}/${kind}/v1`,
    }),
    streamWire: "sse",
  },
  turnpike: {
    title: "turnpike",
    args: ({ own, entry }) => [resolve(repository, entry), "serve", "--port", String(own)],
    env: ({ ops, upstream }) => ({
      TURNPIKE_ENDPOINT: `http://127.0.0.1:${upstream}`,
      TURNPIKE_JOB_ARN: "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/bench",
      TURNPIKE_OPS_PORT: String(ops),
      AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
      AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
      AWS_EC2_METADATA_DISABLED: "true",
    }),
    ready: ({ ops }) => ({ port: ops, path: "/readyz" }),
    path: (_, rollout) => `/rollouts/bench-${rollout}/v1/chat/completions`,
    headers: () => ({ authorization: "Bearer x" }),
    streamWire: "sse",
  },
};

/** Starts a target on the proxy's core; resolves once it is ready. */
export async function startTarget(name: TargetName, options: StartOptions): Promise<RunningTarget> {
  const { payloads, entry, upstreamPort, directory, cacheDirectory = directory } = options;
  const target = targets[name];
  const setting = {
    entry,
    own: await freePort(),
    ops: await freePort(),
    upstream: upstreamPort,
  };
  mkdirSync(cacheDirectory, { recursive: true });
  const started = performance.now();
  const child = startChild({
    name,
    command: process.execPath,
    args: target.args(setting),
    core: proxyCore,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: cacheDirectory,
      TMPDIR: cacheDirectory,
      ...target.env(setting),
    },
    cwd: repository,
    logDirectory: directory,
  });
  const ready = target.ready(setting);
  const { readyIntervalMs: intervalMs = 20 } = options;
  await waitUntilReady({ child, intervalMs, probe: () => answersOk(ready.port, ready.path) });
  const readyAfterMs = performance.now() - started;
  return {
    name,
    child,
    readyAfterMs,
    call: (kind, rollout = 1) => ({
      port: setting.own,
      method: "POST",
      path: target.path(kind, rollout),
      headers: { "content-type": "application/json", ...target.headers(kind, setting) },
      body: payloads.request[kind],
    }),
    expected: (kind) => (kind === "json" ? payloads.response : payloads[target.streamWire]),
    [Symbol.asyncDispose]: child.stop,
  };
}

/** The version of a package that the peers' lock file put in place; undefined when it is not installed. */
export function peerVersion(name: string): string | undefined {
  const file = join(peers, "node_modules", name, "package.json");
  if (!existsSync(file)) return undefined;
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
