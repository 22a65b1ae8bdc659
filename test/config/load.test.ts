import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ConfigError } from "../../src/config/config-error.ts";
import { type LoadOptions, loadConfig, loadConfigWithSources } from "../../src/config/load.ts";

const folder = mkdtempSync(join(tmpdir(), "turnpike-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function fileWith(text: string): string {
  files += 1;
  const file = join(folder, `${files}.yaml`);
  writeFileSync(file, text);
  return file;
}

/** The problems' lines, the folder's name cut off. */
function errorsOf(options: Partial<LoadOptions>): string[] {
  try {
    loadConfig({ environment: {}, ...options });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [, ...lines] = error.message.split("\n");
    return lines.map((line) => line.trim().replaceAll(`${folder}/`, ""));
  }
  return [];
}

describe("precedence", () => {
  it("gives every default where nothing is said", () => {
    const config = loadConfig({ environment: {} });
    expect(config.server.host).toBe("127.0.0.1");
    expect(config.server.port).toBe(8484);
    expect(config.job_runtime.endpoint).toBeNull();
    expect(config.models).toEqual(["default"]);
  });

  it("lets the environment win over the file and a flag over both, and says who set what", () => {
    const { config, sources } = loadConfigWithSources({
      file: fileWith("server:\n  port: 1001\nops:\n  port: 1002\nlog:\n  level: warn\n"),
      environment: { TURNPIKE_PORT: "2001", TURNPIKE_OPS_PORT: "2002" },
      flags: { "server.port": { flag: "--port", text: "3001" } },
    });
    expect([config.server.port, config.ops.port, config.log.level]).toEqual([3001, 2002, "warn"]);
    expect(sources.get("server.port")).toBe("flag --port");
    expect(sources.get("ops.port")).toBe("variable TURNPIKE_OPS_PORT");
    expect(sources.get("log.level")).toMatch(/\.yaml:6$/);
    expect(sources.has("state.dir")).toBe(false);
  });

  it("reads the file that TURNPIKE_CONFIG names unless --config names another", () => {
    const named = fileWith("server: { port: 1001 }");
    const other = fileWith('{"server": {"port": 1002}}');
    const environment = { TURNPIKE_CONFIG: named };
    expect(loadConfig({ environment }).server.port).toBe(1001);
    expect(loadConfig({ environment, file: other }).server.port).toBe(1002);
  });

  it("counts empty variables as unset", () => {
    const environment = { TURNPIKE_PORT: "", TURNPIKE_CONFIG: "", TURNPIKE_NOT_A_KEY: "" };
    expect(loadConfig({ environment }).server.port).toBe(8484);
  });

  it("takes the first of the endpoint's variables, turnpike's own before AWS's", () => {
    const environment = {
      AWS_ENDPOINT_URL: "http://127.0.0.1:4",
      RFT_RUNTIME_ENDPOINT: "http://127.0.0.1:3",
      AWS_ENDPOINT_URL_SAGEMAKERJOBRUNTIME: "http://127.0.0.1:2",
      TURNPIKE_ENDPOINT: "http://127.0.0.1:1",
    };
    const taken: (string | null)[] = [];
    for (const name of [
      "TURNPIKE_ENDPOINT",
      "AWS_ENDPOINT_URL_SAGEMAKERJOBRUNTIME",
      "RFT_RUNTIME_ENDPOINT",
      "AWS_ENDPOINT_URL",
    ] as const) {
      taken.push(loadConfig({ environment }).job_runtime.endpoint);
      environment[name] = "";
    }
    expect(taken).toEqual([1, 2, 3, 4].map((port) => `http://127.0.0.1:${port}`));
    expect(loadConfig({ environment }).job_runtime.endpoint).toBeNull();
  });

  it("leaves AWS's endpoint variables alone where AWS_IGNORE_CONFIGURED_ENDPOINT_URLS says so", () => {
    const environment = {
      AWS_ENDPOINT_URL: "http://127.0.0.1:4",
      RFT_RUNTIME_ENDPOINT: "http://127.0.0.1:3",
      AWS_ENDPOINT_URL_SAGEMAKERJOBRUNTIME: "http://127.0.0.1:2",
      AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "true",
    };
    expect(loadConfig({ environment }).job_runtime.endpoint).toBe("http://127.0.0.1:3");
  });

  it("takes the region from AWS_REGION, then from AWS_DEFAULT_REGION", () => {
    const environment = { AWS_REGION: "us-west-2", AWS_DEFAULT_REGION: "eu-west-1" };
    expect(loadConfig({ environment }).job_runtime.region).toBe("us-west-2");
    expect(loadConfig({ environment: { ...environment, AWS_REGION: "" } }).job_runtime.region).toBe(
      "eu-west-1",
    );
  });
});

describe("the loaded configuration", () => {
  it("is frozen all the way down", () => {
    const config = loadConfig({ environment: { TURNPIKE_MODELS: "a,b" } });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.server)).toBe(true);
    expect(Object.isFrozen(config.models)).toBe(true);
  });

  it("has variables parsed by their key's type", () => {
    const { models, server, job_runtime, simulator } = loadConfig({
      environment: {
        TURNPIKE_MODELS: " a , b,",
        TURNPIKE_API_KEY: "first-key-1,second-key",
        TURNPIKE_MAX_BODY_BYTES: "1024",
        AWS_USE_FIPS_ENDPOINT: "TRUE",
        TURNPIKE_SIMULATOR_FAULTS: '[{"kind":"throttle"}]',
      },
    });
    expect(models).toEqual(["a", "b"]);
    expect(server.api_keys).toEqual(["first-key-1", "second-key"]);
    expect(server.max_body_bytes).toBe(1024);
    expect(job_runtime.fips).toBe(true);
    expect(simulator.faults).toEqual([{ kind: "throttle" }]);
  });

  it("takes a section whose keys are all commented out", () => {
    const file = fileWith("server:\n  # port: 1\nops:\n  port: 1002\n");
    expect(loadConfig({ environment: {}, file }).ops.port).toBe(1002);
  });

  it("takes YAML's anchors and merges", () => {
    const file = fileWith("server: &a\n  host: 127.0.0.2\nops: *a\n");
    expect(loadConfig({ environment: {}, file }).ops.host).toBe("127.0.0.2");
  });
});

describe("errors", () => {
  it("come all at once, each with key, source, what was given and what is allowed", () => {
    const file = fileWith(
      "server:\n  prot: 5\n  host:\nserv:\n  a: 1\njob_runtime:\n  region: here\nlog: 5\ntimeouts:\n  idle_ms: yes\n",
    );
    const environment = {
      TURNPIKE_PROT: "1",
      TURNPIKE_OPS_PORT: "80a",
      TURNPIKE_JOB_ARN: "x",
      TURNPIKE_MODELS: ",",
      TURNPIKE_ENDPOINT: "job-runtime",
      AWS_USE_FIPS_ENDPOINT: "maybe",
      TURNPIKE_SIMULATOR_FAULTS: "throttle",
    };
    const flags = { "log.level": { flag: "--log-level", text: "loud" } };
    const errors = errorsOf({ file, environment, flags });
    expect(errors.map((line) => line.replace(/^\d+\.yaml|(?<=\()\d+\.yaml/, "file.yaml"))).toEqual([
      "server.prot: unknown key; did you mean server.port? (file.yaml:2)",
      "serv: unknown key; did you mean server? (file.yaml:4)",
      "log: must be a section with keys of its own (file.yaml:8)",
      "TURNPIKE_PROT: unknown variable; did you mean TURNPIKE_PORT? (environment)",
      "server.host: must be text of 1 to 255 characters, not null (file.yaml:3)",
      'ops.port: must be a whole number from 0 to 65535, not "80a" (variable TURNPIKE_OPS_PORT)',
      'job_runtime.region: must be a region such as us-east-1, not "here" (file.yaml:7)',
      'job_runtime.endpoint: must be an http or https URL, not "job-runtime" (variable TURNPIKE_ENDPOINT)',
      'job_runtime.fips: must be true or false, not "maybe" (variable AWS_USE_FIPS_ENDPOINT)',
      'identity.job_arn: must be a job ARN such as arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/my-training-job, not "x" (variable TURNPIKE_JOB_ARN)',
      'timeouts.idle_ms: must be a whole number from 1 to 86400000, not "yes" (file.yaml:10)',
      "models: must be a list of texts of 1 to 256 characters, not [] (variable TURNPIKE_MODELS)",
      'log.level: must be one of trace, debug, info, warn, error, silent, not "loud" (flag --log-level)',
      'simulator.faults: must be a list of objects, not "throttle" (variable TURNPIKE_SIMULATOR_FAULTS)',
    ]);
  });

  it("never repeat a secret, nor a URL's password", () => {
    const errors = errorsOf({
      environment: {
        TURNPIKE_API_KEY: "hunter2,long-enough-key",
        HTTPS_PROXY: "ftp://user:hunter2@proxy:3128",
        TURNPIKE_ENDPOINT: "https://user:hunter2@example.com",
      },
    });
    expect(errors).toHaveLength(3);
    expect(errors[0]).toBe(
      "server.api_keys[0]: must be text of 8 to 512 characters, not (not shown) (variable TURNPIKE_API_KEY)",
    );
    expect(errors[1]).toContain("without user, query and fragment");
    expect(errors.join()).not.toContain("hunter2");
  });

  it("name a wrong value even where a stronger source overrides it", () => {
    const errors = errorsOf({
      file: fileWith("server:\n  port: 99999\n"),
      flags: { "server.port": { flag: "--port", text: "1" } },
    });
    expect(errors).toHaveLength(1);
  });

  it("say when the file cannot be read, and who named it", () => {
    expect(errorsOf({ file: join(folder, "none.yaml") })[0]).toMatch(
      /^none\.yaml: cannot be read: ENOENT.*\(flag --config\)$/,
    );
    expect(errorsOf({ environment: { TURNPIKE_CONFIG: folder } })[0]).toContain(
      "(variable TURNPIKE_CONFIG)",
    );
  });

  it("give the line of what is not YAML, and of a key said twice", () => {
    expect(errorsOf({ file: fileWith("server:\n  port: 1\n  port: 2\n") })[0]).toMatch(
      /is not YAML: Map keys must be unique \(\d+\.yaml:3\)/,
    );
    expect(errorsOf({ file: fileWith("- a\n- b\n") })[0]).toContain("must be a mapping");
  });

  it("do not guess where no name is near", () => {
    expect(errorsOf({ environment: { TURNPIKE_QWERTYUIOP: "1" } })).toEqual([
      "TURNPIKE_QWERTYUIOP: unknown variable; config.example.yaml names them all (environment)",
    ]);
  });
});

describe("variables that Kubernetes makes of Services named turnpike", () => {
  it("do not count as turnpike's, not even TURNPIKE_PORT", () => {
    const config = loadConfig({
      environment: {
        TURNPIKE_SERVICE_HOST: "10.0.0.1",
        TURNPIKE_SERVICE_PORT: "8484",
        TURNPIKE_SERVICE_PORT_HTTP: "8484",
        TURNPIKE_PORT: "tcp://10.0.0.1:8484",
        TURNPIKE_PORT_8484_TCP: "tcp://10.0.0.1:8484",
        TURNPIKE_PORT_8484_TCP_PROTO: "tcp",
        TURNPIKE_PORT_8484_TCP_PORT: "8484",
        TURNPIKE_PORT_8484_TCP_ADDR: "10.0.0.1",
        TURNPIKE_OPS_SERVICE_HOST: "10.0.0.2",
        TURNPIKE_OPS_PORT: "tcp://10.0.0.2:8486",
        TURNPIKE_OPS_PORT_8486_TCP_ADDR: "10.0.0.2",
      },
    });
    expect([config.server.port, config.ops.port]).toEqual([8484, 8486]);
  });
});

describe("keys that must fit each other", () => {
  it("refuses an address others can reach without API keys, and says the two ways out", () => {
    const flags = { "server.host": { flag: "--host", text: "0.0.0.0" } };
    expect(errorsOf({ flags })).toEqual([
      "server.host: 0.0.0.0 can be reached from other machines, and whoever reaches the gateway spends this job's turns: set server.api_keys (TURNPIKE_API_KEY), or listen on 127.0.0.1 (flag --host)",
    ]);
    expect(errorsOf({ flags, environment: { TURNPIKE_API_KEY: "long-enough-key" } })).toEqual([]);
  });

  it.each(["127.0.0.1", "127.1.2.3", "localhost", "::1"])("takes %s without API keys", (host) => {
    expect(errorsOf({ environment: { TURNPIKE_HOST: host } })).toEqual([]);
  });

  it.each(["::", "10.0.0.1", "127.0.0.1.example.com", "example.com"])(
    "does not take %s without API keys",
    (host) => {
      expect(errorsOf({ environment: { TURNPIKE_HOST: host } })).toHaveLength(1);
    },
  );

  it("refuses FIPS together with an endpoint", () => {
    const environment = {
      AWS_USE_FIPS_ENDPOINT: "true",
      RFT_RUNTIME_ENDPOINT: "http://127.0.0.1:1",
    };
    expect(errorsOf({ environment })).toEqual([
      "job_runtime.fips: a FIPS endpoint cannot be had at http://127.0.0.1:1: leave out either job_runtime.fips or job_runtime.endpoint (variable AWS_USE_FIPS_ENDPOINT)",
    ]);
  });

  it("refuses one port for two listeners, but not 0 for both", () => {
    expect(errorsOf({ environment: { TURNPIKE_PORT: "8486" } })[0]).toContain("server.port too");
    expect(errorsOf({ environment: { TURNPIKE_PORT: "0", TURNPIKE_OPS_PORT: "0" } })).toEqual([]);
  });

  it("refuses a job that is not among the allowed ones", () => {
    const arn = (name: string) => `arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/${name}`;
    const environment = {
      TURNPIKE_JOB_ARN: arn("a"),
      TURNPIKE_ALLOWED_JOBS: `${arn("b")},${arn("c")}`,
    };
    expect(errorsOf({ environment })[0]).toContain("identity.allowed_jobs");
  });

  it("refuses half of the simulator's credentials", () => {
    const environment = { TURNPIKE_SIMULATOR_ACCESS_KEY_ID: "AKIDEXAMPLE1234567" };
    expect(errorsOf({ environment })[0]).toContain("simulator.secret_access_key");
  });
});
