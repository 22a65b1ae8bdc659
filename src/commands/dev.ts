/** `turnpike dev`: the gateway and a simulator of the service behind it; no AWS account, no AWS credentials. */
import { randomBytes } from "node:crypto";
import { readAuxiliaryKeys } from "../config/auxiliary-keys.ts";
import { withoutAws } from "../config/environment.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { createGateway, type Gateway, type GatewayOverrides } from "../gateway.ts";
import { createCredentialSource } from "../job-runtime/credentials.ts";
import { type CommandContext, stopped } from "./command.ts";
import { devJobArn, type Simulation, startSimulation, turnsHint } from "./simulation.ts";
import { listeners, startError } from "./start-error.ts";
import { limitYoungGeneration } from "./young-generation.ts";

export async function runDev(context: CommandContext): Promise<number> {
  const { file, flags, environment, stop, print } = context;
  // The user's AWS settings belong to their real jobs; a run beside a simulator must not read them.
  const config = loadConfig({ file, flags, environment: withoutAws(environment) });
  const trajectoryId = config.identity.trajectory_id ?? `dev-${randomBytes(4).toString("hex")}`;
  const auxiliaryKeys = readAuxiliaryKeys(config, environment);
  const simulation = await startSimulation(config, listeners.dev);
  try {
    const overrides = { fallbackTrajectoryId: trajectoryId, auxiliaryKeys, environment };
    const gateway = await startGateway(config, simulation, overrides).catch((error: unknown) => {
      throw startError(error, config, listeners.dev);
    });
    try {
      print(banner({ config, gateway, simulation, trajectoryId }));
      limitYoungGeneration();
      await stopped(stop);
    } finally {
      await gateway.close();
    }
  } finally {
    await simulation.simulator.close();
  }
  return 0;
}

function startGateway(
  config: Config,
  { simulator, region, credentials }: Simulation,
  overrides: Pick<GatewayOverrides, "fallbackTrajectoryId" | "auxiliaryKeys" | "environment">,
): Promise<Gateway> {
  return createGateway(config, {
    credentials: createCredentialSource({ provider: () => Promise.resolve(credentials) }),
    endpoint: simulator.url,
    region,
    ...overrides,
    fallbackJobArn: devJobArn,
  });
}

interface Running {
  readonly config: Config;
  readonly gateway: Gateway;
  readonly simulation: Simulation;
  readonly trajectoryId: string;
}

function banner({ config, gateway, simulation, trajectoryId }: Running): string {
  const base = `${gateway.url}/v1`;
  const [model] = config.models;
  const needsKey = config.server.api_keys.length > 0;
  const key = needsKey ? "<one of server.api_keys>" : "turnpike";
  const body = JSON.stringify({
    model,
    stream: true,
    messages: [{ role: "user", content: "Hello" }],
  });
  return `turnpike dev: gateway ${gateway.url}, simulator ${simulation.simulator.url}, ops ${gateway.opsUrl}${gateway.ingressUrl === undefined ? "" : `, ingress ${gateway.ingressUrl}`}

Point an agent at it:
  export OPENAI_BASE_URL=${base}
  export OPENAI_API_KEY=${key}

Or try it:
  curl -N ${base}/chat/completions -H 'content-type: application/json'${needsKey ? ` -H 'authorization: Bearer ${key}'` : ""} -d '${body}'

Job        ${config.identity.job_arn ?? devJobArn}
Trajectory ${trajectoryId}${config.identity.trajectory_id === null ? " (made for this run; requests that name another go there)" : ""}
Turns      ${turnsHint(config, simulation)}
`;
}
