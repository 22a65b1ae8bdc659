import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LineBatch } from "../../src/telemetry/line-batch.ts";

const lineBatch = new URL("../../src/telemetry/line-batch.ts", import.meta.url).href;

/** Runs a script of its own process with a LineBatch `log` on its standard output. */
function child(script: string) {
  const code = `import { LineBatch } from ${JSON.stringify(lineBatch)}; const log = new LineBatch(); ${script}`;
  return spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

const exitOf = (process: ReturnType<typeof child>) =>
  new Promise<number | null>((resolve) => process.once("exit", resolve));

describe("log lines", () => {
  test("all arrive, in order, also those of a process that exits at once", async () => {
    const process = child(
      'for (let n = 0; n < 5000; n += 1) log.write(JSON.stringify({ n }) + "\\n"); process.exit(3);',
    );
    let text = "";
    process.stdout.on("data", (chunk) => {
      text += chunk;
    });
    const ended = new Promise((resolve) => process.stdout.once("end", resolve));
    expect(await exitOf(process)).toBe(3);
    await ended;
    const numbers = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).n);
    expect(numbers).toEqual(Array.from({ length: 5000 }, (_, n) => n));
  });

  test("do not keep a process whose reader is gone", async () => {
    const process = child(
      'setInterval(() => log.write("x".repeat(70_000) + "\\n"), 5); setTimeout(() => process.exit(4), 400);',
    );
    process.stdout.destroy();
    expect(await exitOf(process)).toBe(4);
  });

  test("that cannot be written do not end the process: a full disk", async () => {
    // /dev/full answers every write with ENOSPC.
    const descriptor = openSync("/dev/full", "w");
    const log = new LineBatch({ descriptor });
    for (let n = 0; n < 10; n += 1) log.write(`${"x".repeat(70_000)}\n`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(() => log.close()).not.toThrow();
    closeSync(descriptor);
  });

  test("beyond what a stuck reader may cost are dropped, and their number is said", () => {
    const file = join(mkdtempSync(join(tmpdir(), "turnpike-log-")), "log");
    const descriptor = openSync(file, "w");
    const log = new LineBatch({ descriptor });
    // Nothing is written while this runs: the event loop never turns.
    for (let n = 0; n < 100; n += 1) log.write(`${"x".repeat(200_000)}\n`);
    log.close();
    closeSync(descriptor);
    const lines = readFileSync(file, "utf8").trim().split("\n");
    const last = JSON.parse(lines.at(-1) ?? "");
    expect(last.event).toBe("lines-dropped");
    expect(lines.length - 1 + last.count).toBe(100);
  });
});
