/** Which Host headers the gateway answers to: the defence against DNS rebinding (clients.md, "Security precedents"). */
import { isIP } from "node:net";

/** True when the raw Host header is one the gateway answers to. */
export type HostPolicy = (host: string) => boolean;

interface HostParts {
  /** Lower case, without brackets and without a final dot. */
  readonly name: string;
  /** Empty where none was given. */
  readonly port: string;
}

/**
 * Accepted with any port: the loopback names, the bind host and `allowedHosts` (an entry with a port: with that
 * port only). On a wildcard bind (0.0.0.0, ::) every IP literal too, since a pod's address is not known
 * beforehand and rebinding takes a DNS name. Any other name has to be listed: `turnpike.ns.svc`, say.
 */
export function createHostPolicy(bindHost: string, allowedHosts: readonly string[]): HostPolicy {
  const wildcard = isWildcard(bindHost);
  const allowed = new Set(["localhost", "::1"]);
  for (const entry of [bindHost, ...allowedHosts]) {
    const parts = parseHost(entry);
    // A bare IPv6 address, as in server.host, is not a Host header's form.
    if (isIP(entry) === 6) allowed.add(entry.toLowerCase());
    else if (parts !== undefined) allowed.add(joined(parts));
  }
  return (host) => {
    const parts = parseHost(host);
    if (parts === undefined) return false;
    if (allowed.has(parts.name) || allowed.has(joined(parts))) return true;
    const version = isIP(parts.name);
    return version !== 0 && (wildcard || (version === 4 && parts.name.startsWith("127.")));
  };
}

function isWildcard(bindHost: string): boolean {
  return bindHost === "0.0.0.0" || bindHost === "::" || bindHost === "[::]";
}

const hostPattern = /^(?:\[([0-9a-f:.]+)\]|([^\s:/@[\]]+?)\.?)(?::(\d{1,5}))?$/i;

function parseHost(host: string): HostParts | undefined {
  const match = hostPattern.exec(host);
  const name = match?.[1] ?? match?.[2];
  return name === undefined ? undefined : { name: name.toLowerCase(), port: match?.[3] ?? "" };
}

function joined({ name, port }: HostParts): string {
  return port === "" ? name : `${name}:${port}`;
}
