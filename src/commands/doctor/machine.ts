/** What this machine must give: a folder to write to and two free ports. */
import { randomUUID } from "node:crypto";
import { access, constants, stat, unlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import type { Config } from "../../config/schema.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** `state.dir`: none, writable, or not. Leaves nothing behind. */
export async function checkState({ state: { dir } }: Config): Promise<Finding> {
  if (dir === null) {
    return warn(
      "state",
      "kept in memory",
      "Set state.dir (TURNPIKE_STATE_DIR) if a rollout must outlive a restart.",
    );
  }
  const folder = resolve(dir);
  try {
    await tryWriting(folder);
    return ok("state", `${folder} can be written`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return fail(
      "state",
      `${folder} cannot be written: ${reason}`,
      "Give turnpike's user a folder of its own with state.dir (TURNPIKE_STATE_DIR).",
    );
  }
}

/** In the folder if it is there; else its nearest parent must allow to make it. */
async function tryWriting(folder: string): Promise<void> {
  const info = await stat(folder).catch(() => undefined);
  if (info === undefined) {
    await access(await nearestParent(folder), constants.W_OK);
    return;
  }
  const file = join(folder, `.doctor-${randomUUID()}`);
  await writeFile(file, "");
  await unlink(file);
}

async function nearestParent(folder: string): Promise<string> {
  const parent = dirname(folder);
  const exists = await stat(parent).catch(() => undefined);
  return exists || parent === folder ? parent : await nearestParent(parent);
}

/** The gateway's port and the ops port, one line each. */
export async function checkPorts(config: Config): Promise<readonly Finding[]> {
  const isRunning = await opsAnswers(config);
  return await Promise.all(
    (["server", "ops"] as const).map((section) => checkPort(config, section, isRunning)),
  );
}

async function checkPort(
  config: Config,
  section: "server" | "ops",
  isRunning: boolean,
): Promise<Finding> {
  const { host, port } = config[section];
  if (port === 0) return ok("ports", `${section}.port 0 takes a free one`);
  const place = `${section}.port ${port} on ${host}`;
  const code = await listenError(host, port);
  if (code === undefined) return ok("ports", `${place} is free`);
  if (code === "EADDRINUSE" && isRunning)
    return ok("ports", `${place} is in use, by a turnpike that runs`);
  const variable = section === "server" ? "TURNPIKE_PORT" : "TURNPIKE_OPS_PORT";
  return fail(
    "ports",
    `${place} cannot be had (${code})`,
    `Stop what uses it, or set ${section}.port (${variable}); 0 takes a free one.`,
  );
}

function listenError(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve: settle } = Promise.withResolvers<string | undefined>();
  const server = createServer();
  server.once("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
  server.listen(port, host, () => server.close(() => settle(undefined)));
  return promise;
}

async function opsAnswers({ ops }: Config): Promise<boolean> {
  if (ops.port === 0) return false;
  const host = ops.host.includes(":") ? `[${ops.host}]` : ops.host;
  try {
    const answer = await fetch(`http://${host}:${ops.port}/livez`, {
      signal: AbortSignal.timeout(1_000),
    });
    return answer.ok;
  } catch {
    return false;
  }
}
