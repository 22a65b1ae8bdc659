import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/errors.ts";
import {
  type AwsCredentials,
  type CredentialSource,
  createCredentialSource,
} from "../../src/job-runtime/credentials.ts";

const minute = 60_000;

/** A provider that hands out numbered credentials, with a clock to turn. */
class Issuer {
  now = Date.parse("2026-03-01T00:00:00Z");
  calls = 0;
  lifetimeMs: number | undefined = 60 * minute;
  failure: Error | undefined;
  /** Credentials to give again instead of new ones. */
  fixed: AwsCredentials | undefined;
  readonly failures: GatewayError[] = [];

  readonly provider = async (): Promise<AwsCredentials> => {
    this.calls += 1;
    // As long as a real source takes at least: later than every caller of this turn of the loop.
    await new Promise((resolve) => setImmediate(resolve));
    if (this.failure) throw this.failure;
    return { ...(this.fixed ?? this.next()) };
  };

  next(): AwsCredentials {
    return {
      accessKeyId: `KEY${this.calls}`,
      secretAccessKey: "secret",
      ...(this.lifetimeMs === undefined
        ? {}
        : { expiration: new Date(this.now + this.lifetimeMs) }),
    };
  }

  source(): CredentialSource {
    return createCredentialSource({
      provider: this.provider,
      clock: () => this.now,
      onFailure: (error) => this.failures.push(error),
    });
  }
}

/** Lets a refresh that runs in the background come to its end. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe("cached credentials", () => {
  it("are none before the first get, and the same object ever after", async () => {
    const issuer = new Issuer();
    const source = issuer.source();
    expect(source.current()).toBeUndefined();
    const credentials = await source.get();
    expect(source.current()).toBe(credentials);
    expect(await source.get()).toBe(credentials);
    expect(issuer.calls).toBe(1);
  });

  it("are fetched once for a hundred callers at the same time", async () => {
    const issuer = new Issuer();
    const source = issuer.source();
    const got = await Promise.all(Array.from({ length: 100 }, () => source.get()));
    expect(new Set(got).size).toBe(1);
    expect(issuer.calls).toBe(1);
  });

  it("are never refreshed by themselves when they have no expiry", async () => {
    const issuer = new Issuer();
    issuer.lifetimeMs = undefined;
    const source = issuer.source();
    await source.get();
    issuer.now += 1000 * 60 * minute;
    expect(source.current()?.accessKeyId).toBe("KEY1");
    await settled();
    expect(issuer.calls).toBe(1);
  });
});

describe("the refresh ahead of the expiry", () => {
  it("begins five minutes before it, in the background, while the old ones go on being used", async () => {
    const issuer = new Issuer();
    const source = issuer.source();
    const old = await source.get();
    issuer.now += 55 * minute - 1;
    expect(source.current()).toBe(old);
    await settled();
    expect(issuer.calls).toBe(1);

    issuer.now += 1;
    expect([source.current(), source.current(), source.current()]).toEqual([old, old, old]);
    await settled();
    expect(issuer.calls).toBe(2);
    expect(source.current()?.accessKeyId).toBe("KEY2");
  });

  it("makes callers wait only when the old ones have expired", async () => {
    const issuer = new Issuer();
    const source = issuer.source();
    await source.get();
    issuer.now += 60 * minute;
    expect(source.current()).toBeUndefined();
    expect((await source.get()).accessKeyId).toBe("KEY2");
  });

  it("keeps the object when the source gives the same ones again, and does not ask call by call", async () => {
    const issuer = new Issuer();
    const source = issuer.source();
    issuer.fixed = issuer.next();
    const old = await source.get();
    issuer.now += 56 * minute;
    source.current();
    await settled();
    for (let call = 0; call < 10; call += 1) {
      issuer.now += 5_000;
      expect(source.current()).toBe(old);
      await settled();
    }
    expect(issuer.calls).toBe(2);

    issuer.now += 2 * minute;
    source.current();
    await settled();
    expect(issuer.calls).toBe(3);
  });

  it("that fails is told to the observer only, and tried again later while the old ones last", async () => {
    const issuer = new Issuer();
    const source = issuer.source();
    const old = await source.get();
    issuer.failure = new Error("endpoint down");
    issuer.now += 56 * minute;
    for (let call = 0; call < 50; call += 1) {
      expect(await source.get()).toBe(old);
      await settled();
    }
    expect(issuer.calls).toBe(2);
    expect(issuer.failures.map(({ code }) => code)).toEqual(["credentials_unavailable"]);

    issuer.failure = undefined;
    issuer.now += 2 * minute;
    source.current();
    await settled();
    expect(source.current()?.accessKeyId).toBe("KEY3");
  });
});

describe("a forced refresh", () => {
  it("fetches others once for all who had the stale ones", async () => {
    const issuer = new Issuer();
    const source = issuer.source();
    const stale = await source.get();
    const fresh = await Promise.all(Array.from({ length: 96 }, () => source.forceRefresh(stale)));
    expect(new Set(fresh).size).toBe(1);
    expect(fresh[0]?.accessKeyId).toBe("KEY2");
    expect(issuer.calls).toBe(2);
  });

  it("fetches nothing where the cached ones are others already", async () => {
    const issuer = new Issuer();
    const source = issuer.source();
    const stale = await source.get();
    const fresh = await source.forceRefresh(stale);
    expect(await source.forceRefresh(stale)).toBe(fresh);
    expect(issuer.calls).toBe(2);
  });

  it("that brings the stale ones again is not repeated within a second", async () => {
    const issuer = new Issuer();
    issuer.lifetimeMs = undefined;
    const source = issuer.source();
    issuer.fixed = issuer.next();
    const stale = await source.get();
    for (let call = 0; call < 20; call += 1) await source.forceRefresh(stale);
    expect(issuer.calls).toBe(2);
    issuer.now += 1000;
    await source.forceRefresh(stale);
    expect(issuer.calls).toBe(3);
  });
});

describe("a source without credentials", () => {
  it("is asked once a second at most, and every caller gets the same error", async () => {
    const issuer = new Issuer();
    issuer.failure = new Error("nobody home");
    const source = issuer.source();
    const failures = await Promise.all(
      Array.from({ length: 96 }, () => source.get().catch((error: unknown) => error)),
    );
    const [failure] = failures;
    expect(new Set(failures).size).toBe(1);
    expect(failure).toBeInstanceOf(GatewayError);
    expect(failure).toMatchObject({ code: "credentials_unavailable", cause: issuer.failure });
    await expect(source.get()).rejects.toBe(failure);
    expect(issuer.calls).toBe(1);

    issuer.failure = undefined;
    await expect(source.get()).rejects.toBe(failure);
    issuer.now += 1000;
    expect((await source.get()).accessKeyId).toBe("KEY2");
  });

  it("says so when what it gives has expired already, and names both times", async () => {
    const issuer = new Issuer();
    issuer.lifetimeMs = -minute;
    await expect(issuer.source().get()).rejects.toMatchObject({
      code: "credentials_unavailable",
      message: expect.stringContaining(
        "have expired (2026-02-28T23:59:00.000Z; this machine's clock says 2026-03-01T00:00:00.000Z)",
      ),
    });
  });

  it("that never answers is given up", async () => {
    const source = createCredentialSource({
      provider: () => new Promise(() => {}),
      fetchTimeoutMs: 5,
    });
    await expect(source.get()).rejects.toMatchObject({
      code: "credentials_unavailable",
      message: expect.stringContaining("did not answer within 5 ms"),
    });
  });
});
