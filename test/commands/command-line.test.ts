import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { run } from "../../src/cli.ts";
import { runTurnpike, TurnpikeProcess } from "./turnpike-process.ts";

const root = join(import.meta.dirname, "../..");
const jobArn = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/a-job";

/** Processes are slow to start on a machine that is busy with the other tests. */
const spawning = { timeout: 60_000 };

const commands = ["dev", "serve", "simulate", "doctor", "check-config"];

/** The command line in this process: for what needs no process of its own. */
async function runHere(args: readonly string[], environment: Record<string, string> = {}) {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const code = await run(args, {
    environment,
    stop: new AbortController().signal,
    print: (text) => stdout.push(text),
    warn: (text) => stderr.push(text),
  });
  return { code, stdout: stdout.join("\n"), stderr: stderr.join("\n") };
}

describe("the command line", spawning, () => {
  it("prints package.json's version", async () => {
    const packageJson = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      version: string;
    };
    expect(await runTurnpike(["--version"])).toMatchObject({
      code: 0,
      stdout: `${packageJson.version}\n`,
    });
  });

  it("lists its commands when none is named, and exits 2", async () => {
    const { code, stderr } = await runHere([]);
    expect(code).toBe(2);
    for (const name of commands) expect(stderr).toContain(`  ${name} `);
  });

  it.each(commands)("%s --help shows its flags with their variables", async (command) => {
    const { code, stdout } = await runHere([command, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/--config <file>[\s\S]*TURNPIKE_CONFIG/);
    expect(stdout).toMatch(/--host <host>[\s\S]*--port <port>[\s\S]*TURNPIKE_/);
  });

  it("names the nearest flag for one it does not know, and exits 2", async () => {
    const { code, stderr } = await runHere(["serve", "--prot", "1"]);
    expect(code).toBe(2);
    expect(stderr).toContain("Did you mean --port?");
  });

  it.each(commands)("%s prints every error of the configuration and returns 2", async (command) => {
    const variables = { TURNPIKE_OPS_PORT: "80a", TURNPIKE_PROT: "1" };
    expect(await runHere([command, "--port", "-1"], variables)).toEqual({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(
        /^turnpike: the configuration has 3 errors:\n {2}TURNPIKE_PROT: .*\n.*not (-1|"80a").*\n.*not (-1|"80a").*$/,
      ),
    });
  });

  it("leaves the configuration's errors as the process's last word, with exit code 2", async () => {
    const { code, stdout, stderr } = await runTurnpike(["serve", "--host", "0.0.0.0"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^turnpike: the configuration has an error:\n {2}server\.host: .*\n$/);
  });
});

describe("check-config", spawning, () => {
  it("prints the configuration in the file's form, with sources and without secrets", async () => {
    const variables = {
      TURNPIKE_API_KEY: "hunter2-hunter2",
      TURNPIKE_SIMULATOR_UPSTREAM_API_KEY: "hunter2-upstream",
      HTTPS_PROXY: "http://user:hunter2@proxy:3128",
      TURNPIKE_OPS_PORT: "9486",
    };
    const { code, stdout, stderr } = await runTurnpike(
      ["check-config", "--port", "9484"],
      variables,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toContain("hunter2");
    expect(stdout).toMatch(/^ {2}port: 9484 +# flag --port$/m);
    expect(stdout).toMatch(/^ {2}port: 9486 +# variable TURNPIKE_OPS_PORT$/m);
    expect(stdout).toMatch(/^ {2}api_keys: \*\*\* +# variable TURNPIKE_API_KEY$/m);
    expect(stdout).toMatch(/^models: \["default"\] +# default$/m);
    const example = parse(readFileSync(join(root, "config.example.yaml"), "utf8")) as object;
    const printed = parse(stdout.replaceAll("***", "hidden")) as object;
    expect(Object.keys(printed)).toEqual(Object.keys(example));
  });

  it("warns where the configured region is not the job's", async () => {
    const { code, stderr } = await runTurnpike(["check-config", "--job-arn", jobArn], {
      AWS_REGION: "us-west-2",
    });
    expect(code).toBe(0);
    expect(stderr).toBe(
      `turnpike: calls go to us-west-2 (variable AWS_REGION), but the job ${jobArn} is in us-east-1. Set TURNPIKE_REGION=us-east-1 if that is not meant.\n`,
    );
  });
});

describe("simulate", spawning, () => {
  it("prints what to export, answers there, and ends with 0 on SIGTERM", async () => {
    await using turnpike = new TurnpikeProcess(["simulate", "--port", "0"]);
    const [, url] = await turnpike.printed(/AWS_ENDPOINT_URL_SAGEMAKERJOBRUNTIME=(\S+)/);
    await turnpike.printed(/AWS_SECRET_ACCESS_KEY=\S{40}\n/);
    expect((await fetch(`${url}/_simulator/stats`)).status).toBe(200);
    turnpike.kill("SIGTERM");
    expect(await turnpike.exited).toEqual({ code: 0, signal: null });
  });

  it("takes configured credentials and does not print their secret", async () => {
    await using turnpike = new TurnpikeProcess(["simulate", "--port", "0"], {
      TURNPIKE_SIMULATOR_ACCESS_KEY_ID: "AKIDEXAMPLE12345",
      TURNPIKE_SIMULATOR_SECRET_ACCESS_KEY: "hunter2-hunter2",
    });
    await turnpike.printed(/AWS_ACCESS_KEY_ID=AKIDEXAMPLE12345/);
    await turnpike.printed(/turns\.jsonl/);
    expect(turnpike.stdout + turnpike.stderr).not.toContain("hunter2");
  });

  it("names port, listener and flag when the port is in use, and exits 1", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await runTurnpike(["simulate", "--port", String(port)]);
    server.close();
    expect(code).toBe(1);
    expect(stderr).toBe(
      `turnpike: the simulator cannot listen: port ${port} on 127.0.0.1 is in use. Stop what uses it, or choose another with --port, simulator.port or TURNPIKE_SIMULATOR_PORT (0 takes a free one).\n`,
    );
  });

  it("says what is wrong with its faults and its script in its own words, and exits 1", async () => {
    const faults = await runTurnpike(["simulate", "--port", "0"], {
      TURNPIKE_SIMULATOR_FAULTS: '[{"kind":"earthquake"}]',
    });
    expect(faults.code).toBe(1);
    expect(faults.stderr).toContain(
      "turnpike: the simulator cannot start: Not a list of fault rules",
    );
    const script = await runTurnpike(["simulate", "--port", "0", "--script", "/nowhere.yaml"]);
    expect(script.code).toBe(1);
    expect(script.stderr).toContain("The script file /nowhere.yaml cannot be read");
  });
});
