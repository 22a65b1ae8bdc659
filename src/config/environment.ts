/** Which variables of an environment are turnpike's, and which only look it. */

import type { ConfigProblem } from "./config-error.ts";
import { type ConfigKey, configKeys, variablesOf } from "./keys.ts";
import { nearest } from "./nearest.ts";

/** A process's environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Names the configuration file where `--config` does not. */
export const configFileVariable = "TURNPIKE_CONFIG";

const prefix = "TURNPIKE_";

/**
 * Kubernetes tells every pod about the Services of its namespace, in Docker's old link format. One
 * named `turnpike` or `turnpike-ops` yields variables that look like ours; even
 * `TURNPIKE_PORT=tcp://10.0.0.1:8484`.
 */
const serviceLinks: readonly RegExp[] = [
  /^TURNPIKE(_[A-Z0-9_]+)?_SERVICE_HOST$/,
  /^TURNPIKE(_[A-Z0-9_]+)?_SERVICE_PORT(_[A-Z0-9_]+)?$/,
  /^TURNPIKE(_[A-Z0-9_]+)?_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/,
];
const serviceUrl = /^(tcp|udp|sctp):\/\//;

/** A variable that gives a key its value. */
export interface VariableValue {
  readonly variable: string;
  readonly text: string;
}

/** The first variable of the key that is set; an empty one counts as unset. */
export function variableFor(key: ConfigKey, environment: Environment): VariableValue | undefined {
  for (const variable of variablesOf(key)) {
    const text = environment[variable];
    if (text === undefined || text === "") continue;
    if (isServiceLink(variable, text) || isSwitchedOff(variable, environment)) continue;
    return { variable, text };
  }
  return undefined;
}

/** Variables that begin with TURNPIKE_ and mean nothing: a misspelling must not pass unnoticed. */
export function unknownVariables(environment: Environment): readonly ConfigProblem[] {
  const known = new Set([configFileVariable, ...configKeys.flatMap(variablesOf)]);
  const ours = [...known].filter((name) => name.startsWith(prefix));
  return Object.entries(environment)
    .filter(([name, text]) => name.startsWith(prefix) && text !== undefined && text !== "")
    .filter(([name, text]) => !(known.has(name) || isServiceLink(name, text ?? "")))
    .map(([name]) => {
      const meant = nearest(name, ours);
      const hint =
        meant === undefined ? "config.example.yaml names them all" : `did you mean ${meant}?`;
      return { key: name, source: "environment", message: `unknown variable; ${hint}` };
    });
}

/** The environment with turnpike's own variables only: what a run without AWS may look at. */
export function withoutAws(environment: Environment): Environment {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => name.startsWith(prefix)),
  );
}

function isServiceLink(name: string, text: string): boolean {
  if (name.startsWith(prefix) && name.endsWith("_PORT") && serviceUrl.test(text)) return true;
  return serviceLinks.some((pattern) => pattern.test(name));
}

/** AWS's own switch for its endpoint variables, common to all SDKs. */
function isSwitchedOff(variable: string, environment: Environment): boolean {
  const off = environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]?.toLowerCase() === "true";
  return off && variable.startsWith("AWS_ENDPOINT_URL");
}
