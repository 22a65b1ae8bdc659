import { SignatureV4 } from "@smithy/signature-v4";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ServiceClock } from "../../src/job-runtime/clock.ts";
import { Sha256 } from "../../src/job-runtime/sha256.ts";
import { bodyHashOf, RequestSigner } from "../../src/job-runtime/sign.ts";
import cases from "../fixtures/sigv4/cases.json" with { type: "json" };

const credentials = fc.record({
  accessKeyId: fc.stringMatching(/^[A-Z0-9]{16,20}$/),
  secretAccessKey: fc.string({ minLength: 1, maxLength: 60 }),
  sessionToken: fc.option(fc.stringMatching(/^[A-Za-z0-9+/=]{20,200}$/), { nil: undefined }),
});
/** What a trajectory id may be once it is a header: visible ASCII and inner spaces. */
const trajectoryId = fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/);

/**
 * The suite's cases of the corridor's kind: no query (Sample has none), a path that needs no encoding
 * (the operations' own), headers an HTTP header can be (no folded lines).
 */
const vectors = cases.filter(
  ({ request, header }) =>
    request.query === "" &&
    header.canonicalRequest.split("\n")[1] === request.path &&
    !request.headers.some(([, value]) => value?.includes("\n")),
);

function sortedHeaders(signed: readonly (readonly string[])[]): [string, string][] {
  const byName = new Map<string, string[]>();
  for (const [name = "", value = ""] of signed) {
    const lower = name.toLowerCase();
    if (lower === "authorization") continue;
    byName.set(lower, [...(byName.get(lower) ?? []), value.trim()]);
  }
  return [...byName]
    .map(([name, values]): [string, string] => [name, values.join(",")])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

describe("the corridor's signature", () => {
  test("is tried on a good part of AWS's suite", () => {
    expect(vectors.length).toBeGreaterThanOrEqual(16);
  });

  test.each(vectors)("is AWS's own for $name", (vector) => {
    const { region, service, request, header, credentials: keys } = vector;
    const amzDate = vector.timestamp.replace(/[-:]/g, "");
    const headers = sortedHeaders(header.signedHeaders).filter(
      ([name]) => !(vector.omitSessionToken && name === "x-amz-security-token"),
    );
    const authorization = new RequestSigner({ region, service }).authorization(
      {
        method: request.method,
        path: request.path,
        headers,
        bodyHash: bodyHashOf(Buffer.from(request.body)),
      },
      keys,
      amzDate,
    );
    expect(authorization).toBe(header.authorization);
  });

  test("is @smithy/signature-v4's on random requests", async () => {
    await fc.assert(
      fc.asyncProperty(
        credentials,
        trajectoryId,
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom("us-east-1", "eu-central-1", "cn-north-1"),
        fc.constantFrom("/sample", "/sample-with-response-stream", "/base/sample"),
        fc.date({
          min: new Date("2020-01-01"),
          max: new Date("2060-01-01"),
          noInvalidDate: true,
        }),
        async (keys, id, bytes, region, path, date) => {
          const body = Buffer.from(bytes);
          const host = `job-runtime.sagemaker.${region}.api.aws`;
          const identity = {
            "x-amzn-sagemaker-job-arn": `arn:aws:sagemaker:${region}:123456789012:job/A/b`,
            "x-amzn-sagemaker-trajectory-id": id,
          };
          const { sessionToken, ...pair } = keys;
          const given = sessionToken === undefined ? pair : { ...pair, sessionToken };
          const reference = await new SignatureV4({
            service: "sagemaker",
            region,
            credentials: given,
            sha256: Sha256,
            applyChecksum: false,
          }).sign(
            {
              method: "POST",
              protocol: "https:",
              hostname: host,
              path,
              headers: { host, "content-type": "application/json", ...identity },
              body,
            },
            { signingDate: date },
          );
          const amzDate = new ServiceClock(() => date.getTime()).amzDate();
          expect(amzDate).toBe(reference.headers["x-amz-date"]);
          const headers: [string, string][] = [
            ["content-type", "application/json"],
            ["host", host],
            ["x-amz-date", amzDate],
            ...(sessionToken === undefined
              ? []
              : [["x-amz-security-token", sessionToken] as [string, string]]),
            ...Object.entries(identity),
          ];
          const authorization = new RequestSigner({ region }).authorization(
            { path, headers, bodyHash: bodyHashOf(body) },
            given,
            amzDate,
          );
          expect(authorization).toBe(reference.headers["authorization"]);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("follows the credentials and the day, though the signing key is kept", () => {
    const signer = new RequestSigner({ region: "us-east-1" });
    const request = {
      path: "/sample",
      headers: [["host", "h"]] as const,
      bodyHash: bodyHashOf(Buffer.from("{}")),
    };
    const first = { accessKeyId: "A", secretAccessKey: "one" };
    const second = { accessKeyId: "A", secretAccessKey: "two" };
    const signed = (keys: typeof first, date: string) =>
      signer.authorization(request, keys, date).split("Signature=")[1];
    const monday = signed(first, "20260601T000000Z");
    expect(signed(first, "20260601T000000Z")).toBe(monday);
    expect(signed(first, "20260602T000000Z")).not.toBe(monday);
    expect(signed(second, "20260601T000000Z")).not.toBe(monday);
    expect(signed(first, "20260601T000000Z")).toBe(monday);
  });
});

describe("the service's clock", () => {
  test("is the machine's until the service says otherwise", () => {
    const clock = new ServiceClock(() => Date.parse("2026-06-01T12:34:56.789Z"));
    expect(clock.amzDate()).toBe("20260601T123456Z");
    expect(clock.correct("Mon, 01 Jun 2026 12:34:50 GMT")).toBe(false);
    expect(clock.correct(undefined)).toBe(false);
    expect(clock.correct("nonsense")).toBe(false);
    expect(clock.correct("Mon, 01 Jun 2026 13:34:56 GMT")).toBe(true);
    expect(clock.amzDate()).toBe("20260601T133456Z");
    expect(clock.correct("Mon, 01 Jun 2026 13:34:56 GMT")).toBe(false);
  });
});
