/** Where a job's calls go: one endpoint, signer and connection pool per region, made at first use. */
import type { Dispatcher } from "undici";
import { jobArnRegion } from "../job-arn.ts";
import { Circuit, type CircuitSettings } from "./circuit.ts";
import { createDispatcher, type ProxySettings } from "./dispatcher.ts";
import { resolveEndpoint } from "./endpoint.ts";
import { RequestSigner } from "./sign.ts";

export interface UpstreamSettings {
  /** Configured region; `null` means the job ARN's. */
  readonly region: string | null;
  /** Configured endpoint URL; `null` means the region's own. */
  readonly endpoint: string | null;
  readonly fips: boolean;
  readonly connectTimeoutMs: number;
  readonly proxy?: ProxySettings;
  readonly circuit: CircuitSettings;
}

export interface Upstream {
  readonly region: string;
  readonly origin: string;
  /** The value of the `Host` header. */
  readonly host: string;
  /** Path prefix of the endpoint, without a trailing slash; mostly empty. */
  readonly basePath: string;
  readonly signer: RequestSigner;
  readonly dispatcher: Dispatcher;
  readonly circuit: Circuit;
}

/** Settings come from start-up configuration only; of a request, just its ARN's region counts. */
export class Upstreams implements AsyncDisposable {
  readonly #settings: UpstreamSettings;
  readonly #byRegion = new Map<string, Upstream>();
  #lastJobArn = "";
  #last: Upstream | undefined;

  constructor(settings: UpstreamSettings) {
    this.#settings = settings;
  }

  for(jobArn: string): Upstream {
    // One job per gateway is the rule: do not take its ARN apart for every turn.
    if (this.#last && jobArn === this.#lastJobArn) return this.#last;
    const region = this.#settings.region ?? jobArnRegion(jobArn) ?? "";
    const upstream = this.#byRegion.get(region) ?? this.#open(region);
    this.#lastJobArn = jobArn;
    this.#last = upstream;
    return upstream;
  }

  #open(region: string): Upstream {
    const { endpoint, fips, connectTimeoutMs, proxy } = this.#settings;
    const resolved = resolveEndpoint({ region, endpoint, fips });
    const upstream: Upstream = {
      region: resolved.region,
      origin: resolved.origin,
      host: resolved.host,
      basePath: resolved.basePath,
      signer: new RequestSigner({ region: resolved.region }),
      dispatcher: createDispatcher({
        origin: resolved.origin,
        connectTimeoutMs,
        ...(proxy ? { proxy } : {}),
      }),
      circuit: new Circuit(this.#settings.circuit),
    };
    this.#byRegion.set(region, upstream);
    return upstream;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#byRegion.values()].map(({ dispatcher }) => dispatcher.destroy()));
  }
}
