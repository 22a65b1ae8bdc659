/**
 * AWS credentials: one provider, cached, refreshed ahead of its expiry, never asked twice at once.
 * Asking per call is what exhausts credential endpoints at 32 concurrent rollouts (service.md,
 * "What hurts", 1); keeping one answer for an hour is what fails when role credentials rotate.
 */
import { GatewayError } from "../errors.ts";

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** None: they are taken to last until the service says otherwise. */
  readonly expiration?: Date;
}

export interface CredentialSource {
  /**
   * Cached credentials if still good, synchronously: the hot path; undefined → `await get()`. The same
   * object for as long as nothing changed, so that a signer may keep its key by it. Starts a refresh in
   * the background when the expiry is near.
   */
  current(): AwsCredentials | undefined;
  /** Throws GatewayError `credentials_unavailable`. */
  get(): Promise<AwsCredentials>;
  /**
   * Others than `stale`, which the service called expired. Where the cached ones are others already, no
   * new fetch. Throws GatewayError `credentials_unavailable`.
   */
  forceRefresh(stale: AwsCredentials): Promise<AwsCredentials>;
}

export interface CredentialSourceOptions {
  /** Fetches anew each time it is called. */
  readonly provider: () => Promise<AwsCredentials>;
  /** Milliseconds since the epoch. Default: `Date.now`. */
  readonly clock?: () => number;
  /** How long before the expiry a refresh begins. Default: five minutes. */
  readonly refreshAheadMs?: number;
  /** How long a failure, or an answer that is stale already, is kept before the provider is asked again. Default: one second. */
  readonly holdMs?: number;
  /** How long a fetch may take. Default: one minute. */
  readonly fetchTimeoutMs?: number;
  /** Told of every fetch that failed: nobody may be waiting for one that ran in the background. */
  readonly onFailure?: (error: GatewayError) => void;
}

export function createCredentialSource(options: CredentialSourceOptions): CredentialSource {
  return new CachedCredentials(options);
}

class CachedCredentials implements CredentialSource {
  readonly #options: Required<CredentialSourceOptions>;
  #cached: AwsCredentials | undefined;
  /** When a background refresh is due. */
  #refreshAt = Number.POSITIVE_INFINITY;
  #fetching: Promise<AwsCredentials> | undefined;
  #failure: GatewayError | undefined;
  /** Until when the last outcome stands, whoever asks. */
  #heldUntil = 0;

  constructor(options: CredentialSourceOptions) {
    this.#options = {
      clock: Date.now,
      refreshAheadMs: 5 * 60_000,
      holdMs: 1_000,
      fetchTimeoutMs: 60_000,
      onFailure: () => {},
      ...options,
    };
  }

  current(): AwsCredentials | undefined {
    const cached = this.#cached;
    if (cached?.expiration === undefined) return cached;
    const now = this.#options.clock();
    if (now >= cached.expiration.getTime()) return undefined;
    if (now >= this.#refreshAt && !this.#fetching) {
      // Its failure is onFailure's; these are still good, and the next call is due to try again.
      this.#fetch().catch(() => {});
    }
    return cached;
  }

  async get(): Promise<AwsCredentials> {
    return this.current() ?? (await this.#fetchUnlessHeld());
  }

  async forceRefresh(stale: AwsCredentials): Promise<AwsCredentials> {
    const current = this.current();
    if (current && !isSame(current, stale)) return current;
    // Just fetched and still the stale ones: the source has no others yet, so 96 rollouts need not ask it.
    if (current && !this.#failure && this.#isHeld()) return current;
    return await this.#fetchUnlessHeld();
  }

  #isHeld(): boolean {
    return this.#options.clock() < this.#heldUntil;
  }

  #fetchUnlessHeld(): Promise<AwsCredentials> {
    if (this.#failure && this.#isHeld()) return Promise.reject(this.#failure);
    return this.#fetch();
  }

  #fetch(): Promise<AwsCredentials> {
    this.#fetching ??= this.#ask().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #ask(): Promise<AwsCredentials> {
    try {
      const { provider, fetchTimeoutMs } = this.#options;
      const credentials = await withinTime(provider(), fetchTimeoutMs);
      this.#refuseExpired(credentials);
      return this.#keep(credentials);
    } catch (thrown) {
      throw this.#keepFailure(unavailable(thrown));
    }
  }

  #refuseExpired({ expiration }: AwsCredentials): void {
    const now = this.#options.clock();
    if (expiration === undefined || now < expiration.getTime()) return;
    throw new GatewayError(
      "credentials_unavailable",
      `The AWS credentials found have expired (${expiration.toISOString()}; this machine's clock says ${new Date(now).toISOString()}). ` +
        "Renew them at their source (aws sso login, a new AWS_SESSION_TOKEN, …), or set the clock right.",
    );
  }

  #keep(fetched: AwsCredentials): AwsCredentials {
    const now = this.#options.clock();
    const unchanged = this.#cached !== undefined && isSame(this.#cached, fetched);
    const credentials = unchanged && this.#cached ? this.#cached : fetched;
    this.#cached = credentials;
    this.#failure = undefined;
    this.#heldUntil = unchanged ? now + this.#options.holdMs : 0;
    this.#refreshAt = this.#nextRefresh(now);
    return credentials;
  }

  #keepFailure(error: GatewayError): GatewayError {
    const now = this.#options.clock();
    this.#failure = error;
    this.#heldUntil = now + this.#options.holdMs;
    this.#refreshAt = this.#nextRefresh(now);
    this.#options.onFailure(error);
    return error;
  }

  /** Ahead of the expiry; inside that span after half of what is left, so that an answer that stays the same is not fetched call by call. */
  #nextRefresh(now: number): number {
    const expiration = this.#cached?.expiration;
    if (expiration === undefined) return Number.POSITIVE_INFINITY;
    const { refreshAheadMs, holdMs } = this.#options;
    const left = expiration.getTime() - now;
    return now + Math.max(left > refreshAheadMs ? left - refreshAheadMs : left / 2, holdMs);
  }
}

function isSame(a: AwsCredentials, b: AwsCredentials): boolean {
  return (
    a === b ||
    (a.accessKeyId === b.accessKeyId &&
      a.secretAccessKey === b.secretAccessKey &&
      a.sessionToken === b.sessionToken &&
      a.expiration?.getTime() === b.expiration?.getTime())
  );
}

function unavailable(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new GatewayError(
    "credentials_unavailable",
    `No AWS credentials to sign with: ${reason}. Run \`turnpike doctor\` to see what is found.`,
    { cause: thrown },
  );
}

/** A provider that never answers must not keep every turn waiting for ever. */
function withinTime<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`their source did not answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
