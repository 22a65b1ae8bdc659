/** The connections to the service: undici, none of its silent timeouts, through the operator's proxy where one is set. */
import { isIP } from "node:net";
import { type Dispatcher, EnvHttpProxyAgent, Pool } from "undici";

export interface ProxySettings {
  /** `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, as given. */
  readonly httpsProxy: string | null;
  readonly httpProxy: string | null;
  readonly noProxy: string | null;
}

export interface DispatcherOptions {
  readonly origin: string;
  readonly connectTimeoutMs: number;
  readonly proxy?: ProxySettings;
}

/**
 * How long an idle connection is kept, in milliseconds. Below the 20 s and more that load balancers
 * keep theirs: a POST written to a connection the other side has just closed is ambiguous.
 */
const keepAliveMs = 4_000;

/** One dispatcher per origin of the service. A loopback origin (a simulator) never goes through a proxy. */
export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const common = {
    connect: { timeout: options.connectTimeoutMs },
    // The turn's own timers decide (timeouts.* in the configuration); undici would cut at 300 s.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: keepAliveMs,
    pipelining: 1,
  };
  const { proxy } = options;
  if (!proxy || isLoopback(options.origin) || !(proxy.httpsProxy || proxy.httpProxy)) {
    return new Pool(options.origin, common);
  }
  return new EnvHttpProxyAgent({
    ...common,
    httpProxy: proxy.httpProxy ?? "",
    httpsProxy: proxy.httpsProxy ?? "",
    noProxy: proxy.noProxy ?? "",
  });
}

function isLoopback(origin: string): boolean {
  const host = new URL(origin).hostname.replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
