/** Load from wrk on core 1, and a judgement of whether the run counts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CallKind } from "./payloads.ts";
import { type CpuShare, cpuShare, readCpuTicks } from "./proc.ts";
import { loadCore, proxyCore, runToEnd } from "./processes.ts";
import type { RunningTarget } from "./targets.ts";

export interface LoadOptions {
  readonly target: RunningTarget;
  readonly kind: CallKind;
  readonly connections: number;
  readonly seconds: number;
  /** For the script and its body. */
  readonly directory: string;
}

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the proxy's core: the proxy's share, and that of strangers. */
  readonly cpu: CpuShare;
  /** Why the run does not count; undefined when it does. */
  readonly fault: string | undefined;
}

interface Summary {
  readonly requests: number;
  readonly microseconds: number;
  readonly bytes: number;
  readonly errors: Record<"connect" | "read" | "write" | "status" | "timeout", number>;
  readonly p50: number;
  readonly p99: number;
}

/** Loads one target for a while. The run is at fault when an answer was not 2xx, a socket failed or bytes are missing. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const { target, connections, seconds } = options;
  const call = target.call(options.kind);
  const script = writeScript(options);
  const before = readCpuTicks(target.child.pid, proxyCore);
  const stdout = await runToEnd(loadCore, [
    ...["wrk", "--threads", "1", "--connections", String(connections)],
    ...["--duration", `${seconds}s`, "--timeout", "30s", "--script", script],
    `http://127.0.0.1:${call.port}${call.path}`,
  ]);
  const after = readCpuTicks(target.child.pid, proxyCore);
  target.child.truncateLog();
  const summary = readSummary(stdout);
  return {
    requestsPerSecond: (summary.requests / summary.microseconds) * 1e6,
    p50Ms: summary.p50 / 1000,
    p99Ms: summary.p99 / 1000,
    cpu: cpuShare(before, after),
    fault: findFault(summary, target.expected(options.kind).length),
  };
}

function writeScript({ target, kind, directory }: LoadOptions): string {
  const { headers, body = Buffer.alloc(0) } = target.call(kind);
  const script = join(directory, `${target.name}-${kind}.lua`);
  const bodyFile = join(directory, `${kind}-request.json`);
  writeFileSync(bodyFile, body);
  const lines = Object.entries(headers).map(
    ([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
  );
  writeFileSync(
    script,
    `wrk.method = "POST"
local file = io.open(${JSON.stringify(bodyFile)}, "rb")
wrk.body = file:read("*a")
file:close()
${lines.join("\n")}
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\nsummary {"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p99":%d,"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
`,
  );
  return script;
}

function readSummary(stdout: string): Summary {
  const json = /^summary (.*)$/m.exec(stdout)?.[1];
  if (json === undefined) throw new Error(`wrk gave no summary:\n${stdout}`);
  return JSON.parse(json) as Summary;
}

function findFault(summary: Summary, bodyBytes: number): string | undefined {
  const errors = Object.entries(summary.errors).filter(([, count]) => count > 0);
  if (errors.length > 0) {
    return errors.map(([name, count]) => `${count} ${name} errors`).join(", ");
  }
  if (summary.requests === 0) return "no answer";
  // wrk counts the heads too, so an answer that is whole is never smaller than its body.
  const perAnswer = summary.bytes / summary.requests;
  return perAnswer < bodyBytes
    ? `${perAnswer.toFixed(0)} of ${bodyBytes} bytes an answer`
    : undefined;
}
