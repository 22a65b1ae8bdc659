/** The command line: which commands there are and which keys have a flag. Each command is loaded when it runs. */
import { CommanderError, Command as Program } from "commander";
import type { Command, ProcessContext } from "./commands/command.ts";
import { execOptions } from "./commands/exec-options.ts";
import { ConfigError } from "./config/config-error.ts";
import { configKey } from "./config/keys.ts";
import type { Flags } from "./config/load.ts";
import { version } from "./version.ts";

/** A flag as commander declares it, and the key it sets. */
type FlagFor = readonly [declaration: string, key: string];

interface CommandLine {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly FlagFor[];
  /** Flags that are no keys: declaration and description. */
  readonly options?: readonly (readonly [string, string])[];
  /** What follows the flags, as usage shows it. */
  readonly operands?: string;
  readonly load: () => Promise<Command>;
}

const listenFlags: readonly FlagFor[] = [
  ["--host <host>", "server.host"],
  ["--port <port>", "server.port"],
  ["--ops-host <host>", "ops.host"],
  ["--ops-port <port>", "ops.port"],
];

const ingressFlags: readonly FlagFor[] = [
  ["--ingress", "ingress.enabled"],
  ["--ingress-host <host>", "ingress.host"],
  ["--ingress-port <port>", "ingress.port"],
  ["--agent-url <url>", "agent.url"],
];

const rolloutFlags: readonly FlagFor[] = [
  ["--job-arn <arn>", "identity.job_arn"],
  ["--trajectory-id <id>", "identity.trajectory_id"],
  ["--model <names>", "models"],
  ["--state-dir <dir>", "state.dir"],
  ["--log-level <level>", "log.level"],
];

const serviceFlags: readonly FlagFor[] = [
  ["--region <region>", "job_runtime.region"],
  ["--endpoint <url>", "job_runtime.endpoint"],
  ["--fips", "job_runtime.fips"],
];

const simulationFlags: readonly FlagFor[] = [
  ["--wire <form>", "simulator.wire"],
  ["--slice-bytes <bytes>", "simulator.slice_bytes"],
  ["--event-delay-ms <ms>", "simulator.event_delay_ms"],
  ["--script <file>", "simulator.script_file"],
  ["--upstream-url <url>", "simulator.upstream_url"],
  ["--upstream-model <name>", "simulator.upstream_model"],
];

const simulatorListenFlags: readonly FlagFor[] = [
  ["--simulator-host <host>", "simulator.host"],
  ["--simulator-port <port>", "simulator.port"],
];

const commandLines: readonly CommandLine[] = [
  {
    name: "dev",
    summary: "gateway with an embedded simulator of the service; needs no AWS account",
    flags: [
      ...listenFlags,
      ...simulatorListenFlags,
      ...rolloutFlags,
      ...ingressFlags,
      ...simulationFlags,
    ],
    load: async () => (await import("./commands/dev.ts")).runDev,
  },
  {
    name: "serve",
    summary: "gateway to the service",
    flags: [...listenFlags, ...rolloutFlags, ...ingressFlags, ...serviceFlags],
    load: async () => (await import("./commands/serve.ts")).runServe,
  },
  {
    name: "simulate",
    summary: "the simulator alone",
    flags: [
      ["--host <host>", "simulator.host"],
      ["--port <port>", "simulator.port"],
      ["--region <region>", "job_runtime.region"],
      ["--state-dir <dir>", "state.dir"],
      ...simulationFlags,
    ],
    load: async () => (await import("./commands/simulate.ts")).runSimulate,
  },
  {
    name: "exec",
    summary:
      "run a command as one rollout: its calls are turns, its exit is reported with a reward",
    operands: "[command...]",
    options: execOptions,
    flags: [...listenFlags.slice(0, 2), ...rolloutFlags, ...serviceFlags, ...simulationFlags],
    load: async () => (await import("./commands/exec.ts")).runExec,
  },
  {
    name: "doctor",
    summary: "check credentials, identity, endpoint, clock, state and ports; costs no turn",
    flags: [...listenFlags, ...rolloutFlags, ...serviceFlags],
    load: async () => (await import("./commands/doctor.ts")).runDoctor,
  },
  {
    name: "check-config",
    summary: "print the effective configuration, or every error in it",
    flags: [
      ...listenFlags,
      ...simulatorListenFlags,
      ...rolloutFlags,
      ...serviceFlags,
      ...simulationFlags,
    ],
    load: async () => (await import("./commands/check-config.ts")).runCheckConfig,
  },
];

/** Runs the command that `args` names. Returns the exit code: 2 for a wrong command line or configuration. Throws what is neither. */
export async function run(args: readonly string[], context: ProcessContext): Promise<number> {
  let exitCode = 0;
  const program = new Program("turnpike")
    .description("OpenAI-compatible proxy for Amazon SageMaker AI multi-turn RL")
    .version(version)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.print(text.trimEnd()),
      writeErr: (text) => context.warn(text.trimEnd()),
    });
  for (const line of commandLines) {
    const command = declare(program, line);
    command.action(async () => {
      const runCommand = await line.load();
      const options: Options = command.opts();
      const flags = flagsGiven(command, line.flags, options);
      const config = options["config"];
      const file = config === true ? undefined : config;
      exitCode = await runCommand({ ...context, file, flags, options, operands: command.args });
    });
  }
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof ConfigError)) throw error;
    context.warn(`turnpike: ${error.message}`);
    return 2;
  }
}

/** As commander hands them over: text, or true for a flag without a value. */
type Options = Readonly<Record<string, string | true | undefined>>;

function declare(program: Program, line: CommandLine): Program {
  const command = program
    .command(line.name)
    .description(line.summary)
    .option("--config <file>", "YAML configuration file (TURNPIKE_CONFIG)");
  // The command's own flags begin where its name stands: they are not ours.
  if (line.operands !== undefined) command.argument(line.operands).passThroughOptions();
  for (const [declaration, description] of line.options ?? []) {
    command.option(declaration, description);
  }
  for (const [declaration, key] of line.flags) command.option(declaration, describeFlag(key));
  return command;
}

function describeFlag(path: string): string {
  const meta = configKey(path)?.meta;
  if (meta === undefined) throw new Error(`no key ${path} for a flag`);
  return `${meta.description} (${meta.env})`;
}

function flagsGiven(command: Program, flags: readonly FlagFor[], options: Options): Flags {
  const given: Record<string, Flags[string]> = {};
  for (const option of command.options) {
    const key = flags.find(([declaration]) => declaration === option.flags)?.[1];
    const value = options[option.attributeName()];
    if (key === undefined || value === undefined) continue;
    given[key] = { flag: option.long ?? option.flags, text: String(value) };
  }
  return given;
}
