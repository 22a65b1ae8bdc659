/** `turnpike simulate`: the simulator alone, for another gateway or an AWS SDK. */
import { withoutAws } from "../config/environment.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { type CommandContext, stopped } from "./command.ts";
import { devJobArn, type Simulation, startSimulation, turnsHint } from "./simulation.ts";
import { listeners } from "./start-error.ts";

export async function runSimulate(context: CommandContext): Promise<number> {
  const { file, flags, environment, stop, print } = context;
  const config = loadConfig({ file, flags, environment: withoutAws(environment) });
  const simulation = await startSimulation(config, listeners.simulate);
  try {
    print(banner(config, simulation));
    await stopped(stop);
  } finally {
    await simulation.simulator.close();
  }
  return 0;
}

function banner(config: Config, simulation: Simulation): string {
  const { simulator, region, credentials } = simulation;
  const { access_key_id } = config.simulator;
  return `turnpike simulate: ${simulator.url}

For a gateway or an AWS SDK${access_key_id === null ? " (credentials made for this run)" : ""}:
  export AWS_ENDPOINT_URL_SAGEMAKERJOBRUNTIME=${simulator.url}
  export AWS_REGION=${region} AWS_DEFAULT_REGION=${region}
  export AWS_ACCESS_KEY_ID=${credentials.accessKeyId}
  export AWS_SECRET_ACCESS_KEY=${access_key_id === null ? credentials.secretAccessKey : "<simulator.secret_access_key>"}
  unset AWS_PROFILE AWS_SESSION_TOKEN

Then, for instance:
  turnpike serve --job-arn ${config.identity.job_arn ?? devJobArn}

Turns  ${turnsHint(config, simulation)}
`;
}
