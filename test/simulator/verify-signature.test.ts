import { expect, test } from "vitest";
import type { ServiceError } from "../../src/simulator/service-error.ts";
import { createSignatureVerifier } from "../../src/simulator/verify-signature.ts";
import {
  callSimulator,
  type SignedCall,
  signedHeaders,
  startTestSimulator,
  testCredentials,
  trajectoryHeaders,
} from "../support/simulator.ts";
import { sigv4Cases, wireRequestOf } from "./sigv4-cases.ts";

const call = {
  path: "/sample",
  headers: trajectoryHeaders("t-1"),
  body: JSON.stringify({ messages: [{ role: "user", content: "hi" }] }),
} satisfies SignedCall;

const mismatch =
  /^The request signature we calculated does not match the signature you provided\./u;

test.for(
  // Where paths were not normalised, the service (which is not S3) does not agree; where a token came
  // unsigned, it refuses.
  sigv4Cases.filter((each) => each.normalizePath && !each.omitSessionToken),
)("AWS's signed request $name is accepted", (vector) => {
  const verify = verifierFor(vector);
  const accepted = verify(wireRequestOf(vector), body(vector), Date.parse(vector.timestamp));
  expect(accepted).toBe(vector.credentials.accessKeyId);
});

test.for(sigv4Cases.filter((each) => each.normalizePath && !each.omitSessionToken))(
  "AWS's signed request $name is refused once its body is altered",
  (vector) => {
    const verify = verifierFor(vector);
    const altered = Buffer.concat([body(vector), Buffer.from("x")]);
    expect(() => verify(wireRequestOf(vector), altered, Date.parse(vector.timestamp))).toThrow(
      expect.objectContaining({ type: "InvalidSignatureException" }) as ServiceError,
    );
  },
);

function verifierFor({ credentials, region, service }: (typeof sigv4Cases)[number]) {
  return createSignatureVerifier({ credentials: [credentials], region, service });
}

function body({ request }: (typeof sigv4Cases)[number]): Buffer<ArrayBuffer> {
  return Buffer.from(request.body);
}

/** Status, type and message of the answer to a call, signed, then changed on its way. */
async function answerTo(
  changes: Partial<SignedCall> & {
    readonly alterHeaders?: (headers: Record<string, string>) => Record<string, string>;
    readonly sentBody?: string;
    readonly known?: Parameters<typeof startTestSimulator>[0];
  },
) {
  await using simulator = await startTestSimulator(changes.known ?? {});
  const headers = await signedHeaders(simulator, { ...call, ...changes });
  const response = await fetch(`${simulator.url}/sample`, {
    method: "POST",
    headers: changes.alterHeaders?.(headers) ?? headers,
    body: changes.sentBody ?? call.body,
  });
  const answer = (await response.json()) as { Message?: string };
  return {
    status: response.status,
    type: response.headers.get("x-amzn-errortype"),
    message: answer.Message,
  };
}

test("a request signed by AWS's signer is accepted", async () => {
  expect(await answerTo({})).toMatchObject({ status: 200, type: null });
});

test("a trajectory id that is not ASCII is verified over the bytes that came", async () => {
  await using simulator = await startTestSimulator();
  const id = "Überfahrt/日本 %20";
  const headers = await signedHeaders(simulator, { ...call, headers: trajectoryHeaders(id) });
  const onTheWire = Buffer.from(id, "utf8").toString("latin1");
  const response = await fetch(`${simulator.url}/sample`, {
    method: "POST",
    headers: { ...headers, "x-amzn-sagemaker-trajectory-id": onTheWire },
    body: call.body,
  });
  expect(response.status).toBe(200);
  expect(simulator.trajectories()[0]?.trajectoryId).toBe(id);
});

test("no Authorization header is a missing authentication token", async () => {
  const answer = await answerTo({
    alterHeaders: ({ authorization: _, ...others }) => others,
  });
  expect(answer).toEqual({
    status: 403,
    type: "MissingAuthenticationTokenException",
    message: "Missing Authentication Token",
  });
});

test("an Authorization header of another scheme is an incomplete signature", async () => {
  const answer = await answerTo({
    alterHeaders: (headers) => ({ ...headers, authorization: "Bearer abc" }),
  });
  expect(answer).toMatchObject({ status: 403, type: "IncompleteSignatureException" });
});

test("an Authorization header without its parts names the parts", async () => {
  const answer = await answerTo({
    alterHeaders: (headers) => ({
      ...headers,
      authorization: "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/sagemaker/aws4_request",
    }),
  });
  expect(answer).toEqual({
    status: 403,
    type: "IncompleteSignatureException",
    message:
      "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter.",
  });
});

test("a credential of four parts is an incomplete signature", async () => {
  const answer = await answerTo({
    alterHeaders: (headers) => ({
      ...headers,
      authorization: (headers["authorization"] ?? "").replace("/aws4_request", ""),
    }),
  });
  expect(answer.type).toBe("IncompleteSignatureException");
  expect(answer.message).toMatch(/^Credential must have exactly 5 slash-delimited elements/u);
});

test("an unknown access key is an unrecognized client", async () => {
  const credentials = { accessKeyId: "AKIDNOBODY", secretAccessKey: "x" };
  expect(await answerTo({ credentials })).toEqual({
    status: 403,
    type: "UnrecognizedClientException",
    message: "The security token included in the request is invalid.",
  });
});

test("a wrong secret does not match", async () => {
  const credentials = { ...testCredentials, secretAccessKey: "another" };
  const answer = await answerTo({ credentials });
  expect(answer).toMatchObject({ status: 403, type: "InvalidSignatureException" });
  expect(answer.message).toMatch(mismatch);
});

test("a signed header altered on its way does not match", async () => {
  const answer = await answerTo({
    alterHeaders: (headers) => ({ ...headers, "x-amzn-sagemaker-trajectory-id": "t-2" }),
  });
  expect(answer.message).toMatch(mismatch);
});

test("a body altered on its way does not match its declared hash", async () => {
  const answer = await answerTo({ sentBody: `${call.body} ` });
  expect(answer).toMatchObject({
    type: "InvalidSignatureException",
    message: "The provided 'x-amz-content-sha256' header does not match what was computed.",
  });
});

test("a trajectory header that was added unsigned is refused by name", async () => {
  const { "x-amzn-sagemaker-trajectory-id": id, ...signed } = call.headers;
  const answer = await answerTo({
    headers: signed,
    alterHeaders: (headers) => ({ ...headers, "x-amzn-sagemaker-trajectory-id": id }),
  });
  expect(answer).toEqual({
    status: 403,
    type: "InvalidSignatureException",
    message: "'x-amzn-sagemaker-trajectory-id' must be a 'SignedHeader' in the AWS Authorization.",
  });
});

test("an unsigned host is refused by name", async () => {
  const answer = await answerTo({
    alterHeaders: (headers) => ({
      ...headers,
      authorization: (headers["authorization"] ?? "").replace("host;", ""),
    }),
  });
  expect(answer.message).toBe("'host' must be a 'SignedHeader' in the AWS Authorization.");
});

test("a scope for another region is refused", async () => {
  expect(await answerTo({ region: "eu-west-1" })).toMatchObject({
    type: "InvalidSignatureException",
    message: "Credential should be scoped to a valid region.",
  });
});

test("a scope for another service is refused", async () => {
  expect(await answerTo({ service: "bedrock" })).toMatchObject({
    type: "InvalidSignatureException",
    message: "Credential should be scoped to correct service: 'sagemaker'.",
  });
});

const noon = Date.parse("2026-02-03T12:00:00Z");

test("a signature of six minutes ago has expired", async () => {
  const answer = await answerTo({
    signingDate: new Date(noon - 6 * 60_000),
    known: { clock: () => noon },
  });
  expect(answer).toEqual({
    status: 403,
    type: "InvalidSignatureException",
    message:
      "Signature expired: 20260203T115400Z is now earlier than 20260203T115500Z (20260203T120000Z - 5 min.)",
  });
});

test("a signature of six minutes ahead is not yet current", async () => {
  const answer = await answerTo({
    signingDate: new Date(noon + 6 * 60_000),
    known: { clock: () => noon },
  });
  expect(answer.message).toBe(
    "Signature not yet current: 20260203T120600Z is still later than 20260203T120500Z (20260203T120000Z + 5 min.)",
  );
});

test("a signature of exactly five minutes ago is accepted", async () => {
  const answer = await answerTo({
    signingDate: new Date(noon - 5 * 60_000),
    known: { clock: () => noon },
  });
  expect(answer.status).toBe(200);
});

const temporary = { ...testCredentials, sessionToken: "token-1" };

test("the right session token is accepted", async () => {
  const answer = await answerTo({ credentials: temporary, known: { credentials: [temporary] } });
  expect(answer.status).toBe(200);
});

test("a wrong session token is invalid, and so is a missing one", async () => {
  const known = { credentials: [temporary] };
  const wrong = { ...temporary, sessionToken: "token-2" };
  expect((await answerTo({ credentials: wrong, known })).type).toBe("UnrecognizedClientException");
  expect((await answerTo({ credentials: testCredentials, known })).type).toBe(
    "UnrecognizedClientException",
  );
});

test("credentials past their end are an expired token", async () => {
  const expired = { ...temporary, expiresAt: new Date(Date.now() - 1000) };
  expect(await answerTo({ credentials: temporary, known: { credentials: [expired] } })).toEqual({
    status: 403,
    type: "ExpiredTokenException",
    message: "The security token included in the request is expired",
  });
});

test("every answer carries a request id and the service's date", async () => {
  await using simulator = await startTestSimulator({ clock: () => noon });
  const response = await callSimulator(simulator, { path: "/nothing" });
  expect(response.status).toBe(404);
  expect(response.headers.get("x-amzn-errortype")).toBe("UnknownOperationException");
  expect(response.headers.get("x-amzn-requestid")).toMatch(/^[0-9a-f-]{36}$/u);
  expect(response.headers.get("date")).toBe("Tue, 03 Feb 2026 12:00:00 GMT");
});
