/** `turnpike serve`: the gateway to the service. */
import type { Environment } from "../config/environment.ts";
import { loadConfigWithSources } from "../config/load.ts";
import { regionMismatch, regionOf } from "../config/region.ts";
import type { Config } from "../config/schema.ts";
import { createGateway } from "../gateway.ts";
import { defaultProvider } from "../job-runtime/credential-chain.ts";
import { type CredentialSource, createCredentialSource } from "../job-runtime/credentials.ts";
import { type CommandContext, stopped } from "./command.ts";
import { listeners, startError } from "./start-error.ts";

export async function runServe(context: CommandContext): Promise<number> {
  const { environment, stop, warn } = context;
  const loaded = loadConfigWithSources(context);
  const { config } = loaded;
  const credentials = credentialsFor(config, environment, warn);
  const gateway = await createGateway(config, { credentials }).catch((error: unknown) => {
    throw startError(error, config, listeners.serve);
  });
  try {
    // On standard error, so that standard output holds the log's lines and nothing else.
    warn(`turnpike serve: gateway ${gateway.url}, ops ${gateway.opsUrl}`);
    const mismatch = regionMismatch(loaded);
    if (mismatch !== undefined) warn(`turnpike: ${mismatch.text}. ${mismatch.advice}`);
    await stopped(stop);
  } finally {
    await gateway.close();
  }
  return 0;
}

/** The standard chain, asked at once so that the first turn need not wait for it. A failure is said once, until it is another. */
function credentialsFor(
  config: Config,
  environment: Environment,
  warn: (text: string) => void,
): CredentialSource {
  let said = "";
  const credentials = createCredentialSource({
    provider: defaultProvider({ environment, region: regionOf(config) }),
    onFailure: ({ message }) => {
      if (message !== said) warn(`turnpike: ${message}`);
      said = message;
    },
  });
  credentials.get().catch(() => {});
  return credentials;
}
