/** The program of `helm test`'s pod, run here against a turnpike with the gateway's rendered configuration. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ofKind, type Resource, resources, root } from "./support/chart.ts";
import { type Outcome, run } from "./support/run.ts";

const key = "0123456789abcdef";
let folder: string;
let rendered: readonly Resource[];
let url: string;
let gateway: ReturnType<typeof spawn>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "turnpike-test-pod-"));
  rendered = await resources({ file: join(import.meta.dirname, "values/gateway.yaml") });
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const config = join(folder, "turnpike.yaml");
  await writeFile(config, ofKind(rendered, "ConfigMap")["data"]["turnpike.yaml"]);
  gateway = spawn(process.execPath, [join(root, "src/main.ts"), "serve"], {
    env: {
      TURNPIKE_CONFIG: config,
      TURNPIKE_API_KEY: `${key},another-key`,
      TURNPIKE_STATE_DIR: folder,
      TURNPIKE_PORT: String(port),
      TURNPIKE_OPS_PORT: "0",
      AWS_ACCESS_KEY_ID: "none",
      AWS_SECRET_ACCESS_KEY: "none",
    },
    stdio: "ignore",
  });
  await listening();
}, 60_000);

afterAll(async () => {
  gateway.kill("SIGTERM");
  await once(gateway, "exit");
  await rm(folder, { recursive: true });
});

describe("the test pod", () => {
  it("passes where the gateway asks for the key and takes it", async () => {
    expect(await runPod({ TURNPIKE_API_KEY: `${key},another-key` })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('"object":"list"') as string,
    });
  });

  it("fails where the key is another", async () => {
    const { code, stderr } = await runPod({ TURNPIKE_API_KEY: "fedcba9876543210" });
    expect(code).not.toBe(0);
    expect(stderr).toContain("with a key: HTTP 401");
  });
});

/** The pod's command in the image's node, which is this one here. */
function runPod(environment: Readonly<Record<string, string>>): Promise<Outcome> {
  const [container] = ofKind(rendered, "Pod")["spec"].containers;
  const [node, ...flags]: string[] = container.command;
  expect(node).toBe("/nodejs/bin/node");
  const assignments = Object.entries({ ...environment, GATEWAY_URL: url });
  return run("env", [
    ...assignments.map(([name, value]) => `${name}=${value}`),
    ...[process.execPath, ...flags, ...container.args],
  ]);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

async function listening(): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const answered = await fetch(url).then(
      () => true,
      () => false,
    );
    if (answered) return;
    await sleep(100);
  }
  throw new Error("the gateway did not start");
}
