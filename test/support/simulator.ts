/** A simulator on a free port, and a client of it that signs with AWS's own signer. */
import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import {
  type Simulator,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulator/simulator.ts";

export const testJobArn = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/test-job";

export const testCredentials = {
  accessKeyId: "AKIDSIMULATOR",
  secretAccessKey: "simulator-secret",
} as const;

/** Starts a simulator that knows `testCredentials`; `await using` closes it. */
export function startTestSimulator(options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  return startSimulator({ port: 0, credentials: [testCredentials], ...options });
}

export interface SignedCall {
  readonly path: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly signal?: AbortSignal;
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  readonly region?: string;
  readonly service?: string;
  readonly signingDate?: Date;
}

/** The headers of a call, signed. The body is signed as given. */
export async function signedHeaders(
  simulator: Pick<Simulator, "port">,
  call: SignedCall,
): Promise<Record<string, string>> {
  const signer = new SignatureV4({
    credentials: call.credentials ?? testCredentials,
    region: call.region ?? "us-east-1",
    service: call.service ?? "sagemaker",
    sha256: NodeSha256,
  });
  const signed = await signer.sign(
    {
      method: call.method ?? "POST",
      protocol: "http:",
      hostname: "127.0.0.1",
      port: simulator.port,
      path: call.path,
      headers: { host: `127.0.0.1:${simulator.port}`, ...call.headers },
      body: call.body ?? "",
    },
    call.signingDate === undefined ? {} : { signingDate: call.signingDate },
  );
  return signed.headers;
}

/** A signed request to the simulator. */
export async function callSimulator(simulator: Simulator, call: SignedCall): Promise<Response> {
  const headers = await signedHeaders(simulator, call);
  return await fetch(`${simulator.url}${call.path}`, {
    method: call.method ?? "POST",
    headers,
    // A copy on a plain ArrayBuffer is what fetch's type asks for.
    body: typeof call.body === "object" ? new Uint8Array(call.body) : (call.body ?? ""),
    ...(call.signal === undefined ? {} : { signal: call.signal }),
  });
}

/** The two headers that say which trajectory of which job. */
export function trajectoryHeaders(trajectoryId: string, jobArn = testJobArn) {
  return {
    "content-type": "application/json",
    "x-amzn-sagemaker-job-arn": jobArn,
    "x-amzn-sagemaker-trajectory-id": trajectoryId,
  };
}

/** A turn: Sample, or SampleWithResponseStream with `stream: true`. */
export function sample(
  simulator: Simulator,
  trajectoryId: string,
  {
    stream = false,
    signal,
    ...request
  }: { stream?: boolean; signal?: AbortSignal } & Record<string, unknown> = {},
): Promise<Response> {
  const body = {
    model: "test-model",
    messages: [{ role: "user", content: "hello" }],
    ...(stream ? { stream } : {}),
    ...request,
  };
  return callSimulator(simulator, {
    path: stream ? "/sample-with-response-stream" : "/sample",
    headers: trajectoryHeaders(trajectoryId),
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** CompleteRollout or UpdateReward with these members. */
export function lifecycle(
  simulator: Simulator,
  operation: "complete-rollout" | "update-reward",
  members: object,
): Promise<Response> {
  return callSimulator(simulator, {
    path: `/${operation}`,
    headers: { "content-type": "application/json", "x-amzn-sagemaker-job-arn": testJobArn },
    body: JSON.stringify(members),
  });
}

/** The hash constructor AWS's signer asks for, over node:crypto. */
export class NodeSha256 {
  readonly #hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash =
      secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret));
  }

  update(data: Uint8Array | string): void {
    this.#hash.update(data);
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new Error("Not used by the signer.");
  }
}

function bytesOf(source: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof source === "string") return Buffer.from(source);
  if (ArrayBuffer.isView(source)) {
    return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  }
  return new Uint8Array(source);
}
