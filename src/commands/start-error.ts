/** Why turnpike could not start, with the key to change. */
import type { Config } from "../config/schema.ts";

/** A start-up that failed for a reason outside of turnpike; the message is for the operator. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** One address a command listens on. */
export interface Listener {
  readonly what: string;
  /** The section with its `host` and `port`. */
  readonly section: "server" | "ops" | "simulator" | "ingress";
  readonly flags: { readonly host: string; readonly port: string };
}

const gateway: Listener = {
  what: "the gateway",
  section: "server",
  flags: { host: "--host", port: "--port" },
};
const ops: Listener = {
  what: "the ops listener",
  section: "ops",
  flags: { host: "--ops-host", port: "--ops-port" },
};
const ingress: Listener = {
  what: "the ingress",
  section: "ingress",
  flags: { host: "--ingress-host", port: "--ingress-port" },
};
const simulatorBeside: Listener = {
  what: "the simulator",
  section: "simulator",
  flags: { host: "--simulator-host", port: "--simulator-port" },
};
const simulatorAlone: Listener = {
  ...simulatorBeside,
  flags: { host: "--host", port: "--port" },
};

/** The listeners of each command, for `startError`. */
export const listeners = {
  serve: [gateway, ops, ingress],
  dev: [gateway, ops, ingress, simulatorBeside],
  simulate: [simulatorAlone],
} as const satisfies Record<string, readonly Listener[]>;

/** What a failed `listen` means; any other error comes back as it is. */
export function startError(
  error: unknown,
  config: Config,
  candidates: readonly Listener[],
): unknown {
  const { code, address, port } = error as { code?: string; address?: string; port?: number };
  if (code === undefined || (error as { syscall?: string }).syscall === undefined) return error;
  const listener = candidates.find(
    ({ section }) =>
      config[section].port === port || (port === undefined && config[section].host === address),
  );
  const reason = reasons[code];
  if (listener === undefined || reason === undefined) return error;
  const { section, flags, what } = listener;
  const text = reason({ port: config[section].port, host: config[section].host, section, flags });
  return new StartError(`${what} cannot listen: ${text}`, { cause: error });
}

type Reason = (place: {
  readonly host: string;
  readonly port: number;
  readonly section: string;
  readonly flags: Listener["flags"];
}) => string;

const reasons: Readonly<Record<string, Reason>> = {
  EADDRINUSE: ({ host, port, section, flags }) =>
    `port ${port} on ${host} is in use. Stop what uses it, or choose another with ${flags.port}, ${section}.port or ${portVariable(section)} (0 takes a free one).`,
  EACCES: ({ port, section, flags }) =>
    `this user may not use port ${port}. Choose one above 1023 with ${flags.port}, ${section}.port or ${portVariable(section)}.`,
  EADDRNOTAVAIL: ({ host, section, flags }) =>
    `${host} is not an address of this machine. Choose one that is with ${flags.host} or ${section}.host.`,
  ENOTFOUND: ({ host, section, flags }) =>
    `the name ${host} does not resolve. Give an address with ${flags.host} or ${section}.host.`,
};

function portVariable(section: string): string {
  return section === "server" ? "TURNPIKE_PORT" : `TURNPIKE_${section.toUpperCase()}_PORT`;
}
