import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { Ledger } from "../../src/rollouts/ledger.ts";
import { viewRollout } from "../../src/rollouts/rollout-view.ts";
import { Store } from "../../src/rollouts/store.ts";
import { begin, ending, keyOf, setUpDesk } from "./desk.ts";

function stateDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "turnpike-store-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Another process that opens the store, says how that went, and waits to be killed. */
async function holder(dir: string) {
  const script = `
    const { Store } = await import(${JSON.stringify(import.meta.resolve("../../src/rollouts/store.ts"))});
    try { Store.open(${JSON.stringify(dir)}); console.log("open"); } catch (error) { console.log(error.message); }
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  return {
    said: said.toString().trim(),
    async kill() {
      child.kill("SIGKILL");
      await once(child, "close");
    },
  };
}

describe("a state folder", () => {
  it("belongs to one process until that has ended, by SIGKILL too", async () => {
    const dir = stateDir();
    const first = await holder(dir);
    expect(first.said).toBe("open");
    expect(() => Store.open(dir)).toThrow(
      `Another turnpike is using ${dir}. Stop it first, or give this one a folder of its own with state.dir (TURNPIKE_STATE_DIR)`,
    );
    await first.kill();
    const store = Store.open(dir);
    const second = await holder(dir);
    expect(second.said).toContain("Another turnpike is using");
    await second.kill();
    store.close();
    Store.open(dir).close();
  });

  it("that cannot be one is refused with what to do", () => {
    const file = join(stateDir(), "file");
    writeFileSync(file, "");
    expect(() => Store.open(join(file, "state"))).toThrow(
      /The state folder .* cannot be used: ENOTDIR.*Give turnpike's user a folder it can write to/,
    );
  });

  it("that holds something else is refused", () => {
    const dir = stateDir();
    writeFileSync(
      join(dir, "turnpike.db"),
      "not a database, but long enough to be read as one".repeat(99),
    );
    expect(() => Store.open(dir)).toThrow("file is not a database");
  });

  it("that a later version has written is refused", () => {
    const dir = stateDir();
    Store.open(dir).close();
    const database = new DatabaseSync(join(dir, "turnpike.db"));
    database.exec("PRAGMA user_version = 99");
    database.close();
    expect(() => Store.open(dir)).toThrow(
      "The state was written by a later turnpike (its schema is 99, this one knows 1)",
    );
    // And it is not held on to.
    database.open();
    database.exec("PRAGMA user_version = 1");
    database.close();
    Store.open(dir).close();
  });

  it("is made where it is missing", () => {
    const dir = join(stateDir(), "a", "b");
    Store.open(dir).close();
    expect(() => mkdirSync(dir)).toThrow("EEXIST");
  });
});

describe("a rollout read back", () => {
  it("is what it was", async () => {
    const dir = stateDir();
    const first = setUpDesk({ ledger: { store: Store.open(dir) } });
    const { ledger, clock, lifecycle } = first;
    ledger.register(keyOf("a"), { digest: "d", sampling: { temperature: 0 } });
    const usage = { promptTokens: 7, completionTokens: 3 };
    ledger.endTurn(begin(ledger, keyOf("a")), ending("finished", { usage }));
    ledger.endTurn(begin(ledger, keyOf("a")), ending("truncated"));
    ledger.endTurn(begin(ledger, keyOf("a"), 1), ending("failed", { code: "upstream_reset" }));
    ledger.noteAgent(keyOf("a"), { outcome: "finished", detail: "exit 0", durationMs: 5 });
    const reward = { rewards: [0, 1.5], asked: "x" };
    await clock.until(lifecycle.submit(keyOf("a"), { status: "ready", reward }));
    const before = viewRollout(ledger.open(keyOf("a")));
    ledger.close();

    const again = new Ledger({ store: Store.open(dir) });
    expect(again.size).toBe(1);
    expect(again.registeredJobArn("a")).toBe(keyOf("a").jobArn);
    expect(again.samplingOf("a")).toEqual({ temperature: 0 });
    expect(again.list(10).map(viewRollout)).toEqual([before]);
    expect(again.find("a").map(viewRollout)).toEqual([before]);
    expect(viewRollout(again.open(keyOf("a")))).toEqual(before);
    again.close();
  });

  it("after an unclean end says that its counts may be short while it is open, and what was under way", async () => {
    const dir = stateDir();
    const child = spawn(process.execPath, ["--input-type=module", "-e", unclean(dir)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "close");
    const store = Store.open(dir);
    expect(store.followsUncleanEnd).toBe(true);
    const ledger = new Ledger({ store });
    expect(viewRollout(ledger.open(keyOf("open")))).toMatchObject({
      counts_may_be_short: true,
      turns: { started: 2, finished: 1, in_flight: 0, interrupted: 1 },
    });
    expect(ledger.open(keyOf("open")).capturedTurns()).toBeUndefined();
    expect(viewRollout(ledger.open(keyOf("sealed")))).toMatchObject({
      counts_may_be_short: false,
      turns: { started: 1, finished: 1 },
      completion: { outcome: "pending" },
    });
    ledger.close();
    const third = Store.open(dir);
    expect(third.followsUncleanEnd).toBe(false);
    third.close();
  });
});

/** One open rollout with a turn under way, one that is completed; then nothing more. */
function unclean(dir: string): string {
  const path = (name: string) => JSON.stringify(import.meta.resolve(name));
  return `
    const { Store } = await import(${path("../../src/rollouts/store.ts")});
    const { finishTurn, begin, keyOf, setUpDesk } = await import(${path("./desk.ts")});
    const { ledger, clock, client, lifecycle } = setUpDesk({ ledger: { store: Store.open(${JSON.stringify(dir)}) } });
    client.gate = new Promise(() => {});
    finishTurn(ledger, keyOf("open"));
    begin(ledger, keyOf("open"));
    ledger.flush();
    finishTurn(ledger, keyOf("sealed"));
    await clock.until(lifecycle.submit(keyOf("sealed"), { status: "ready" }));
    console.log("ready");
    setInterval(() => {}, 1000);`;
}
