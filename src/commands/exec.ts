/** `turnpike exec -- COMMAND…`: a command as one rollout, with a gateway of its own, another one's, or the simulator. */
import { readFileSync } from "node:fs";
import { destination } from "pino";
import { readAuxiliaryKeys } from "../config/auxiliary-keys.ts";
import { withoutAws } from "../config/environment.ts";
import { type Flags, type LoadedConfig, loadConfigWithSources } from "../config/load.ts";
import { GatewayClient, GatewayRefusal, type Registered } from "../exec/gateway-client.ts";
import { type ExecContext, runRollout } from "../exec/run-rollout.ts";
import { TrajectoryRecorder } from "../exec/trajectory-recorder.ts";
import { createGateway, type Gateway, type GatewayOverrides } from "../gateway.ts";
import { createCredentialSource } from "../job-runtime/credentials.ts";
import { createLogger } from "../telemetry/log.ts";
import type { CommandContext } from "./command.ts";
import { type ExecArguments, readExecArguments } from "./exec-arguments.ts";
import { credentialsFor } from "./serve.ts";
import { devJobArn, type Simulation, startSimulation } from "./simulation.ts";
import { listeners, StartError, startError } from "./start-error.ts";

export async function runExec(context: CommandContext): Promise<number> {
  const { options, environment } = context;
  const isSimulated = options["simulate"] === true;
  const loaded = loadConfigWithSources({
    file: context.file,
    environment: isSimulated ? withoutAws(environment) : environment,
    flags: { ...ownFlags(options["gateway"] !== undefined), ...context.flags },
  });
  const args = readExecArguments(context, loaded, () => readFileSync(0, "utf8"));
  await using there = await open(loaded, args, context);
  try {
    return await runRollout(
      { ...args, request: requestOf(args, there.simulation) },
      { ...there.context, gateway: there.client },
    );
  } catch (error) {
    throw error instanceof GatewayRefusal ? new StartError(error.message, { cause: error }) : error;
  }
}

/** A free port, this machine only: nobody else has to find this gateway. Flags of the command line win. */
function ownFlags(hasGateway: boolean): Flags {
  if (hasGateway) return {};
  const own = {
    "server.host": "127.0.0.1",
    "server.port": "0",
    "ops.port": "0",
    "simulator.port": "0",
    "ingress.enabled": "false",
  };
  return Object.fromEntries(
    Object.entries(own).map(([key, text]) => [key, { flag: "of turnpike exec", text }]),
  );
}

/** Simulated, the job need not be named. */
function requestOf({ request }: ExecArguments, simulation: Simulation | undefined) {
  if (simulation === undefined || "metadata" in request) return request;
  return { job_arn: devJobArn, ...request };
}

interface There extends AsyncDisposable {
  readonly client: GatewayClient;
  readonly simulation: Simulation | undefined;
  readonly context: Omit<ExecContext, "gateway">;
}

async function open(
  loaded: LoadedConfig,
  args: ExecArguments,
  context: CommandContext,
): Promise<There> {
  await using stack = new AsyncDisposableStack();
  const { config } = loaded;
  const { simulate, gatewayUrl } = args;
  const simulation = simulate ? await startSimulation(config, listeners.dev) : undefined;
  if (simulation !== undefined) {
    stack.defer(() => simulation.simulator.close());
  }
  const recorder =
    args.reward?.kind === "command" && gatewayUrl === undefined
      ? new TrajectoryRecorder()
      : undefined;
  const url =
    gatewayUrl ?? stack.use(await startGateway(loaded, context, { simulation, recorder })).url;
  const [apiKey] = config.server.api_keys;
  const client = stack.use(new GatewayClient(url, apiKey));
  const tell = (line: string): void => context.warn(`turnpike: ${line}`);
  let registered: Registered | undefined;
  if (simulation !== undefined) stack.defer(() => tellCaptured(simulation, registered, tell));
  const kept = stack.move();
  return {
    client,
    simulation,
    context: {
      environment: context.environment,
      apiKey,
      output: process.stdout,
      turns: recorder && ((id) => recorder.take(id)),
      onRegistered(rollout) {
        registered = rollout;
        recorder?.start(rollout.id);
      },
      onSignal: (pass) => passSignals(context.stop, pass),
      tell,
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

interface Own {
  readonly simulation: Simulation | undefined;
  readonly recorder: TrajectoryRecorder | undefined;
}

/** Its log goes to standard error, and only what is wrong: standard output is the agent's. */
function startGateway(
  { config, sources }: LoadedConfig,
  { environment }: CommandContext,
  { simulation, recorder }: Own,
): Promise<Gateway> {
  const level = sources.has("log.level") ? config.log.level : "error";
  const log = createLogger({ level, destination: destination(2) });
  const credentials =
    simulation === undefined
      ? credentialsFor(config, environment, log)
      : createCredentialSource({ provider: () => Promise.resolve(simulation.credentials) });
  const overrides: GatewayOverrides = {
    credentials,
    log,
    auxiliaryKeys: readAuxiliaryKeys(config, environment),
    ...(recorder === undefined ? {} : { watchAnswer: recorder.watch.bind(recorder) }),
    ...(simulation === undefined
      ? {}
      : { endpoint: simulation.simulator.url, region: simulation.region }),
  };
  return createGateway(config, overrides).catch((error: unknown) => {
    throw startError(error, config, listeners.dev);
  });
}

function tellCaptured(
  { simulator }: Simulation,
  registered: Registered | undefined,
  tell: (line: string) => void,
): void {
  const captured = registered && simulator.trajectory(registered.job_arn, registered.id);
  const { turnCount = 0, state = "unknown" } = captured ?? {};
  tell(
    `simulated: ${turnCount} turn${turnCount === 1 ? "" : "s"} captured, state ${state}, rewards ${JSON.stringify(captured?.rewards ?? null)}`,
  );
}

/** Besides the two that main.ts has. SIGUSR1 is node's own: it starts the inspector. */
const passedSignals: readonly NodeJS.Signals[] = ["SIGHUP", "SIGQUIT", "SIGUSR2", "SIGWINCH"];

function passSignals(stop: AbortSignal, pass: (signal: NodeJS.Signals) => void): () => void {
  const onStop = (): void => pass(stop.reason === "SIGINT" ? "SIGINT" : "SIGTERM");
  if (stop.aborted) onStop();
  else stop.addEventListener("abort", onStop, { once: true });
  for (const signal of passedSignals) process.on(signal, pass);
  return () => {
    stop.removeEventListener("abort", onStop);
    for (const signal of passedSignals) process.off(signal, pass);
  };
}
