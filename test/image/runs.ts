/** What is asked of the image while it runs: turns, isolation, readiness, an orderly end. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ImageConfig } from "./buildah.ts";
import type { Checks } from "./checks.ts";
import { Container, type ContainerOptions } from "./container.ts";

const gateway = "http://127.0.0.1:18484";
const ops = "http://127.0.0.1:18486";
const simulator = "http://127.0.0.1:18485";
const starts = 5;

const credentials = {
  AWS_ACCESS_KEY_ID: "TURNPIKEIMAGETEST",
  AWS_SECRET_ACCESS_KEY: "a-secret-of-this-test",
  AWS_REGION: "us-east-1",
  AWS_EC2_METADATA_DISABLED: "true",
  TURNPIKE_JOB_ARN: "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/image-test",
  TURNPIKE_TRAJECTORY_ID: "image-test",
};
const simulatorCredentials = {
  TURNPIKE_SIMULATOR_ACCESS_KEY_ID: credentials.AWS_ACCESS_KEY_ID,
  TURNPIKE_SIMULATOR_SECRET_ACCESS_KEY: credentials.AWS_SECRET_ACCESS_KEY,
};

export interface ImageUnderTest {
  readonly checks: Checks;
  readonly root: string;
  readonly config: ImageConfig;
  /** An empty folder. */
  readonly tmp: string;
}

export async function checkRuns(image: ImageUnderTest): Promise<void> {
  await checkCommands(image);
  const slow = ["--event-delay-ms", "300"];
  await using simulating = start(image, ["simulate", "--port", "18485", ...slow]);
  await untilStatus(`${simulator}/_simulator/turns.jsonl`, 200, simulating);
  await using serving = start(image, serve);
  await image.checks.check("serve becomes ready", () => untilStatus(`${ops}/readyz`, 200, serving));
  await checkIsolation(image.checks, serving);
  await checkTurns(image.checks);
  await checkDrain(image.checks, serving);
  await checkStartUp(image);
}

const serve = ["serve", "--port", "18484", "--ops-port", "18486", "--endpoint", simulator];

function start(
  { root, config }: ImageUnderTest,
  args: readonly string[],
  more: Partial<ContainerOptions> = {},
): Container {
  const environment = { ...credentials, ...simulatorCredentials, ...more.environment };
  return new Container({ root, config, args, ...more, environment });
}

async function checkCommands(image: ImageUnderTest): Promise<void> {
  const { checks, config, tmp } = image;
  await checks.check("--version says what the label says", async () => {
    await using container = start(image, ["--version"]);
    const code = await container.exited;
    const label = config.Labels["org.opencontainers.image.version"];
    expect(code === 0 && container.stdout.trim() === label, container.stdout + container.stderr);
    return container.stdout.trim();
  });
  await checks.check("a YAML file in a mounted folder is read", async () => {
    writeFileSync(join(tmp, "turnpike.yaml"), "server:\n  port: 4242\n");
    await using container = start(image, ["check-config", "--config", "/tmp/turnpike.yaml"], {
      tmp,
    });
    const code = await container.exited;
    expect(code === 0 && container.stdout.includes("4242"), container.stdout + container.stderr);
  });
}

async function checkIsolation(checks: Checks, container: Container): Promise<void> {
  await checks.check("it is process 1, uid 65532, without capabilities or new privileges", () => {
    const ids = container.status("NSpid").split(/\s+/).at(-1);
    const found = [ids, container.status("Uid").split("\t")[0], container.status("NoNewPrivs")];
    const capabilities = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map((name) =>
      Number(container.status(name)),
    );
    const text = [...found, ...capabilities].join(" ");
    expect(text === "1 65532 1 0 0 0 0", text);
  });
  await checks.check("its root is read-only", () => {
    const mounts = readFileSync(`/proc/${container.pid}/root/proc/1/mounts`, "utf8");
    const own = mounts.split("\n").filter((line) => line.split(" ")[1] === "/");
    expect(own.length > 0 && own.every((line) => / ro[, ]/.test(line)), mounts);
  });
}

async function checkTurns(checks: Checks): Promise<void> {
  await checks.check("a plain turn", async () => {
    const response = await turn(false);
    const answer = (await response.json()) as { readonly object?: string };
    expect(response.status === 200 && answer.object === "chat.completion", JSON.stringify(answer));
  });
  await checks.check("a streamed turn ends with [DONE]", async () => {
    const text = await (await turn(true)).text();
    expect(text.trimEnd().endsWith("data: [DONE]"), text);
    return `${text.split("\n\n").length - 1} events`;
  });
}

async function checkDrain(checks: Checks, container: Container): Promise<void> {
  await checks.check("SIGTERM mid-stream: unready, the stream ends whole, exit 0", async () => {
    const response = await turn(true);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader?.read())?.value ?? "";
    const sentAt = performance.now();
    container.signal("SIGTERM");
    const early = text;
    await untilStatus(`${ops}/readyz`, 503, container);
    for (;;) {
      const piece = await reader?.read();
      if (piece === undefined || piece.done) break;
      text += piece.value;
    }
    const streamedMs = performance.now() - sentAt;
    expect(!early.includes("[DONE]"), "the stream had ended before the signal");
    expect(text.trimEnd().endsWith("data: [DONE]"), text);
    const code = await Promise.race([container.exited, sleep(10_000, "still running")]);
    expect(code === 0, `ended with ${code}:\n${container.stderr}`);
    return `streamed for ${streamedMs.toFixed(0)} ms more`;
  });
}

async function checkStartUp(image: ImageUnderTest): Promise<void> {
  await image.checks.check("node takes the compile cache that the image brings", async () => {
    const environment = { NODE_DEBUG_NATIVE: "COMPILE_CACHE" };
    await using container = start(image, serve, { environment });
    await untilStatus(`${ops}/readyz`, 200, container);
    const said = container.stderr + container.stdout;
    const accepted = said.match(/was accepted/g)?.length ?? 0;
    expect(accepted > 0 && !said.includes("was rejected"), said.slice(0, 2000));
    return `${accepted} files accepted`;
  });
  await image.checks.check(`from start to ready, median of ${starts}`, async () => {
    const warmed: number[] = [];
    const without: number[] = [];
    for (let round = 0; round < starts; round++) {
      warmed.push(await startUpMs(image, {}));
      without.push(await startUpMs(image, { NODE_DISABLE_COMPILE_CACHE: "1" }));
    }
    return `${median(warmed)} ms, without the compile cache ${median(without)} ms`;
  });
}

async function startUpMs(
  image: ImageUnderTest,
  environment: Readonly<Record<string, string>>,
): Promise<number> {
  const started = performance.now();
  await using container = start(image, serve, { environment });
  await untilStatus(`${ops}/readyz`, 200, container);
  return performance.now() - started;
}

function turn(stream: boolean): Promise<Response> {
  const messages = [{ role: "user", content: "Hello" }];
  return fetch(`${gateway}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "default", stream, messages }),
    signal: AbortSignal.timeout(60_000),
  });
}

async function untilStatus(url: string, status: number, container: Container): Promise<void> {
  const deadline = AbortSignal.timeout(30_000);
  let ended = false;
  void container.exited.then(() => {
    ended = true;
  });
  for (;;) {
    const response = await fetch(url, { signal: deadline }).catch(() => undefined);
    await response?.text();
    if (response?.status === status) return;
    expect(!ended, `ended before ${url} answered ${status}:\n${container.stderr}`);
    expect(!deadline.aborted, `${url} did not answer ${status} in 30 s:\n${container.stderr}`);
    await sleep(5);
  }
}

function median(values: readonly number[]): string {
  return (values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN).toFixed(0);
}

function expect(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}
