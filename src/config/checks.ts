/** What the keys must be to each other. */
import type { ConfigProblem } from "./config-error.ts";
import type { Config } from "./schema.ts";

interface Check {
  /** The keys it reads; it is skipped where one of them is wrong already. */
  readonly keys: readonly [string, ...string[]];
  /** What is wrong, or undefined. */
  readonly fault: (config: Config) => string | undefined;
}

const checks: readonly Check[] = [
  {
    keys: ["server.host", "server.api_keys"],
    fault: ({ server }) =>
      isLoopback(server.host) || server.api_keys.length > 0
        ? undefined
        : `${server.host} can be reached from other machines, and whoever reaches the gateway spends this job's turns: ` +
          "set server.api_keys (TURNPIKE_API_KEY), or listen on 127.0.0.1",
  },
  {
    keys: ["job_runtime.fips", "job_runtime.endpoint"],
    fault: ({ job_runtime: { fips, endpoint } }) =>
      fips && endpoint !== null
        ? `a FIPS endpoint cannot be had at ${endpoint}: leave out either job_runtime.fips or job_runtime.endpoint`
        : undefined,
  },
  {
    keys: ["identity.job_arn", "identity.allowed_jobs"],
    fault: ({ identity: { job_arn: jobArn, allowed_jobs: allowed } }) =>
      jobArn === null || allowed.length === 0 || allowed.includes(jobArn)
        ? undefined
        : `${jobArn} is not in identity.allowed_jobs, so every request that names no job would be refused: add it there`,
  },
  {
    keys: ["ops.port", "ops.host", "server.port", "server.host"],
    fault: ({ ops, server }) =>
      ops.port === server.port && ops.host === server.host && ops.port !== 0
        ? `${ops.port} is server.port too: give the two listeners different ports, or 0 for a free one`
        : undefined,
  },
  {
    keys: ["ingress.host", "server.api_keys", "ingress.without_key", "ingress.enabled"],
    fault: ({ ingress, server }) =>
      !ingress.enabled ||
      isLoopback(ingress.host) ||
      ingress.without_key ||
      server.api_keys.length > 0
        ? undefined
        : `${ingress.host} can be reached from other machines, and whoever reaches the ingress starts rollouts: ` +
          "set server.api_keys (TURNPIKE_API_KEY), listen on 127.0.0.1, or say ingress.without_key where something in front authenticates callers",
  },
  {
    keys: ["ingress.enabled", "agent.url", "agent.command"],
    fault: ({ ingress, agent }) =>
      !ingress.enabled || (agent.url === null) !== (agent.command.length === 0)
        ? undefined
        : `the ingress hands each rollout to one agent: set agent.url or agent.command${agent.url === null ? "" : ", not both"}`,
  },
  {
    keys: ["agent.reward_command", "agent.command"],
    fault: ({ agent }) =>
      agent.reward_command === null || agent.command.length > 0
        ? undefined
        : "goes with agent.command; an HTTP agent answers with its reward",
  },
  {
    keys: ["ingress.port", "ingress.host", "ingress.enabled", "server.port", "ops.port"],
    fault: ({ ingress, server, ops }) => {
      if (!ingress.enabled || ingress.port === 0) return undefined;
      const taken = Object.entries({ server, ops }).find(
        ([, { host, port }]) => port === ingress.port && host === ingress.host,
      );
      return taken === undefined
        ? undefined
        : `${ingress.port} is ${taken[0]}.port too: give the listeners different ports, or 0 for a free one`;
    },
  },
  {
    keys: ["sampling.enforce", "sampling.temperature", "sampling.top_p", "sampling.max_tokens"],
    fault: ({ sampling: { enforce, temperature, top_p, max_tokens } }) => {
      const isGiven = temperature !== null || top_p !== null || max_tokens !== null;
      if (isGiven === (enforce === "always")) return undefined;
      return isGiven
        ? `sampling.temperature, sampling.top_p and sampling.max_tokens count only with \`always\`, not with \`${enforce}\``
        : "`always` needs sampling.temperature, sampling.top_p or sampling.max_tokens: they are for rollout requests that give none";
    },
  },
  {
    keys: ["simulator.script_file", "simulator.upstream_url"],
    fault: ({ simulator }) =>
      simulator.script_file === null || simulator.upstream_url === null
        ? undefined
        : "the script is the scripted model's, and simulator.upstream_url puts another in its place: leave out one of the two",
  },
  {
    keys: ["simulator.access_key_id", "simulator.secret_access_key"],
    fault: ({ simulator }) =>
      (simulator.access_key_id === null) === (simulator.secret_access_key === null)
        ? undefined
        : "comes together with simulator.secret_access_key: set both, or neither to have them made for the run",
  },
];

/** The problems between keys that are each right by themselves. */
export function crossProblems(config: Config, faulty: ReadonlySet<string>): ConfigProblem[] {
  return checks.flatMap(({ keys, fault }) => {
    if (keys.some((key) => faulty.has(key))) return [];
    const message = fault(config);
    return message === undefined ? [] : [{ key: keys[0], message }];
  });
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, "").toLowerCase();
  return name === "localhost" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);
}
