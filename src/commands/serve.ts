/** `turnpike serve`: the gateway to the service. */

import type { Logger } from "pino";
import { readAuxiliaryKeys } from "../config/auxiliary-keys.ts";
import type { Environment } from "../config/environment.ts";
import { loadConfigWithSources } from "../config/load.ts";
import { regionMismatch, regionOf } from "../config/region.ts";
import type { Config } from "../config/schema.ts";
import { createGateway } from "../gateway.ts";
import { defaultProvider } from "../job-runtime/credential-chain.ts";
import { type CredentialSource, createCredentialSource } from "../job-runtime/credentials.ts";
import { createLogger } from "../telemetry/log.ts";
import { version } from "../version.ts";
import { type CommandContext, stopped } from "./command.ts";
import { listeners, startError } from "./start-error.ts";
import { limitYoungGeneration } from "./young-generation.ts";

export async function runServe(context: CommandContext): Promise<number> {
  const { environment, stop } = context;
  const loaded = loadConfigWithSources(context);
  const { config } = loaded;
  const auxiliaryKeys = readAuxiliaryKeys(config, environment);
  const log = createLogger({ level: config.log.level });
  const credentials = credentialsFor(config, environment, log);
  const gateway = await createGateway(config, {
    credentials,
    log,
    auxiliaryKeys,
    environment,
  }).catch((error: unknown) => {
    throw startError(error, config, listeners.serve);
  });
  try {
    log.info(
      { url: gateway.url, ops_url: gateway.opsUrl, ingress_url: gateway.ingressUrl, version },
      "listening",
    );
    const mismatch = regionMismatch(loaded);
    if (mismatch !== undefined) log.warn({ advice: mismatch.advice }, mismatch.text);
    limitYoungGeneration();
    await stopped(stop);
    log.info({ drain_ms: config.shutdown.drain_ms }, "stopping");
  } finally {
    await gateway.close();
  }
  return 0;
}

/** The standard chain, asked at once so that the first turn need not wait for it. A failure is said once, until it is another. */
export function credentialsFor(
  config: Config,
  environment: Environment,
  log: Logger,
): CredentialSource {
  let said = "";
  const credentials = createCredentialSource({
    provider: defaultProvider({ environment, region: regionOf(config) }),
    onFailure: ({ code, message }) => {
      if (message !== said) log.error({ code }, message);
      said = message;
    },
  });
  credentials.get().catch(() => {});
  return credentials;
}
