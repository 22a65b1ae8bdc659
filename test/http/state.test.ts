/** A state folder on a real disk that is full: a tmpfs for root, a limit on the size of files for everybody. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { chat, errorOf, startGateway, startPair } from "../support/gateway.ts";
import { startTestSimulator, testCredentials, testJobArn } from "../support/simulator.ts";

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "turnpike-state-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A disk of one megabyte. */
function smallDisk(): string {
  const dir = folder();
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", dir]);
  onTestFinished(() => void execFileSync("umount", ["-l", dir]));
  return dir;
}

function canMount(): boolean {
  const dir = mkdtempSync(join(tmpdir(), "turnpike-mount-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", dir], { stdio: "ignore" });
    execFileSync("umount", [dir]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Returns what frees it again. */
function fill(dir: string): () => void {
  const file = join(dir, "filler");
  for (const size of [65_536, 4_096]) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(size), { flag: "a" });
    } catch {
      // Full for this size.
    }
  }
  return () => rmSync(file);
}

function reward(gatewayUrl: string, id: string): Promise<Response> {
  return fetch(`${gatewayUrl}/rollouts/${id}/reward`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ reward: 1 }),
  });
}

describe.skipIf(!canMount())("a full disk", () => {
  test("is a clear error at start-up", async () => {
    const dir = smallDisk();
    fill(dir);
    await using simulator = await startTestSimulator();
    const start = startGateway({ endpoint: simulator.url, config: { state: { dir } } });
    await expect(start).rejects.toThrow(
      /^The state folder .* cannot be used: .*(disk|full).* Give turnpike's user a folder it can write to, with free space, by state\.dir/,
    );
  });

  test("refuses completions and rewards while turns go on, and takes them once there is room", async () => {
    const dir = smallDisk();
    await using pair = await startPair({ config: { state: { dir } } });
    const { url } = pair.gateway;
    const free = fill(dir);
    let refused: Response | undefined;
    let accepted = 0;
    // What the log already has room for is still accepted.
    for (let at = 0; refused === undefined && at < 500; at += 1) {
      const answer = await reward(url, `t-${at}`);
      if (answer.status === 503) refused = answer;
      else accepted += 1;
    }
    expect(refused?.headers.get("retry-after-ms")).toBe("5000");
    expect(await errorOf(refused as Response)).toMatchObject({
      code: "state_unavailable",
      message: expect.stringContaining(
        "turnpike cannot write its state (database or disk is full), so it accepts no completion or reward",
      ),
    });
    expect((await chat(pair.gateway, `t-${accepted}`)).status).toBe(200);
    expect(pair.simulator.trajectory(testJobArn, `t-${accepted}`)?.rewards).toBeNull();
    expect(pair.logged()).toContain("state-unwritable");
    free();
    expect((await reward(url, `t-${accepted}`)).status).not.toBe(503);
    expect(pair.logged()).toContain("state-writable");
  });
});

/** Node restores a signal's default at its start; with a handler, a write beyond the limit fails as on a full disk. */
const survive = "data:text/javascript,process.on('SIGXFSZ',()=>{})";

test("a file that may not grow refuses completions and rewards while turns go on", async () => {
  const dir = folder();
  await using simulator = await startTestSimulator();
  const main = join(import.meta.dirname, "../../src/main.ts");
  const command = `ulimit -f 256; exec "$0" --import "${survive}" "${main}" serve --port 0 --ops-port 0 --state-dir "${dir}" --endpoint ${simulator.url} --job-arn ${testJobArn}`;
  const child = spawn("bash", ["-c", command, process.execPath], {
    env: {
      HOME: "/nonexistent",
      AWS_ACCESS_KEY_ID: testCredentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: testCredentials.secretAccessKey,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  let url: string | undefined;
  while (url === undefined) {
    const [chunk] = (await once(child.stdout, "data")) as [Buffer];
    said += chunk.toString();
    url = /"url":"([^"]+)"/.exec(said)?.[1];
  }
  child.stdout.resume();
  let status = 200;
  let at = 0;
  for (; status !== 503 && at < 500; at += 1) status = (await reward(url, `t-${at}`)).status;
  expect(status).toBe(503);
  const turn = await chat({ url } as never, "t-other");
  expect(turn.status).toBe(200);
}, 60_000);
