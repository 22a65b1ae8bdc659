import { SignatureV4 } from "@smithy/signature-v4";
import fc from "fast-check";
import { expect, test } from "vitest";
import { binaryString, type WireRequest } from "../../src/simulator/canonical-request.ts";
import { createSignatureVerifier } from "../../src/simulator/verify-signature.ts";
import { NodeSha256, testCredentials } from "../support/simulator.ts";

const service = "sagemaker";
const region = "us-east-1";
const now = Date.parse("2026-02-03T12:00:00Z");
const signer = new SignatureV4({
  credentials: testCredentials,
  region,
  service,
  sha256: NodeSha256,
});
const verify = createSignatureVerifier({ credentials: [testCredentials], region, service });

/** Visible ASCII and spaces, as HTTP lets a header be. */
const headerValue = fc.string({ unit: fc.constantFrom(..."aZ9 \t=,;:%/+\"'é日") });
/** AWS's signer resolves "." and ".." before it signs, and an object has no ordinary key "__proto__". */
const word = fc
  .string({ unit: "grapheme", minLength: 1 })
  .filter((text) => text !== "." && text !== ".." && text !== "__proto__");
const requests = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT"),
  segments: fc.array(word, { maxLength: 4 }),
  query: fc.dictionary(word, fc.string({ unit: "grapheme" }), {
    maxKeys: 4,
  }),
  headers: fc.dictionary(fc.stringMatching(/^x-amzn?-[a-z]{1,8}-$/u), headerValue, { maxKeys: 4 }),
  body: fc.uint8Array({ maxLength: 200 }),
});

/** Percent-encodes as RFC 3986 has it, which encodeURIComponent does not quite. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/gu,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

test("whatever AWS's signer signs is accepted, and refused once its body is altered", async () => {
  await fc.assert(
    fc.asyncProperty(requests, async ({ method, segments, query, headers, body }) => {
      const path = `/${segments.map(encoded).join("/")}`;
      const signed = await signer.sign(
        {
          method,
          protocol: "https:",
          hostname: "example.com",
          path,
          query: { ...query },
          headers: { host: "example.com", ...headers },
          body,
        },
        { signingDate: new Date(now) },
      );
      const wire: WireRequest = {
        method,
        path,
        query: Object.entries(query)
          .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
          .join("&"),
        headers: Object.entries(signed.headers).map(([name, value]) => [name, binaryString(value)]),
      };
      expect(verify(wire, body, now)).toBe(testCredentials.accessKeyId);
      expect(() => verify(wire, Uint8Array.of(...body, 0), now)).toThrow("does not match");
    }),
    { numRuns: 200 },
  );
});
