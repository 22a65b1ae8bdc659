/**
 * Fills node's compile cache while the image is built: `warm.ts NODE FLAGS… turnpike.js` runs the
 * program twice, `dev` for two turns and `serve` without credentials, so that the AWS SDK's credential
 * chain is loaded too. Then the cache is made readable for everyone and writable for no one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const deadline = AbortSignal.timeout(300_000);
const [node = "", ...rest] = process.argv.slice(2);
const cache = process.env["NODE_COMPILE_CACHE"] ?? "";

await whileRunning(["dev"], async () => {
  await answered("http://127.0.0.1:8486/readyz", [200]);
  for (const stream of [false, true]) await turn(stream);
});
await whileRunning(["serve"], () => answered("http://127.0.0.1:8486/readyz", [503]));
seal(cache);

async function whileRunning(args: readonly string[], use: () => Promise<void>): Promise<void> {
  const child = spawn(node, [...rest, ...args], {
    env: { NODE_COMPILE_CACHE: cache, AWS_EC2_METADATA_DISABLED: "true", AWS_REGION: "us-east-1" },
    stdio: "inherit",
  });
  await Promise.race([use(), failed(child)]);
  child.kill("SIGTERM");
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${args[0]} ended with ${code}`);
}

async function failed(child: ChildProcess): Promise<void> {
  await once(child, "close", { signal: deadline });
  throw new Error("ended before it was used");
}

async function answered(url: string, statuses: readonly number[]): Promise<void> {
  for (;;) {
    const response = await fetch(url, { signal: deadline }).catch(() => undefined);
    await response?.text();
    if (response !== undefined && statuses.includes(response.status)) return;
    deadline.throwIfAborted();
    await sleep(50);
  }
}

async function turn(stream: boolean): Promise<void> {
  const messages = [{ role: "user", content: "Hello" }];
  const response = await fetch("http://127.0.0.1:8484/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "default", stream, messages }),
    signal: deadline,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
}

function seal(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) seal(path);
    else chmodSync(path, 0o444);
  }
  chmodSync(directory, 0o555);
}
