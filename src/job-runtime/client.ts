/** The Job Runtime service as the gateway sees it: the two Sample operations and the two of the lifecycle. */
import { SignatureV4 } from "@smithy/signature-v4";
import type { Dispatcher } from "undici";
import { GatewayError, toGatewayError } from "../errors.ts";
import type { SampleTimeouts } from "./call-deadline.ts";
import { ServiceClock } from "./clock.ts";
import { connectionError } from "./connection-error.ts";
import type { AwsCredentials, CredentialSource } from "./credentials.ts";
import { isExpiredToken, isSkewSuspect, readServiceError } from "./errors.ts";
import type {
  CompleteRolloutInput,
  LifecycleClient,
  LifecycleResult,
  UpdateRewardInput,
} from "./lifecycle.ts";
import { RetryPolicy, type RetrySettings } from "./retry-policy.ts";
import { type AnswerSink, SampleCall, type SampleRequest } from "./sample.ts";
import { Sha256 } from "./sha256.ts";
import { signingName } from "./sign.ts";
import { type Upstream, type UpstreamSettings, Upstreams } from "./upstreams.ts";
import { userAgent } from "./user-agent.ts";

export interface JobRuntimeOptions extends UpstreamSettings {
  readonly credentials: CredentialSource;
  readonly timeouts: SampleTimeouts;
  readonly retries: RetrySettings;
  /** Epoch milliseconds; default the machine's clock. */
  readonly now?: () => number;
}

/** A lifecycle answer is `{}`; nobody waits ten minutes for it. In milliseconds. */
const lifecycleTimeoutMs = 30_000;

interface Operation {
  readonly path: string;
  readonly jobArn: string;
  readonly body: Buffer;
}

export class JobRuntimeClient implements LifecycleClient, AsyncDisposable {
  readonly #options: JobRuntimeOptions;
  readonly #upstreams: Upstreams;
  readonly #clock: ServiceClock;
  readonly #retries: RetryPolicy;

  constructor(options: JobRuntimeOptions) {
    this.#options = options;
    this.#upstreams = new Upstreams(options);
    this.#clock = new ServiceClock(options.now);
    this.#retries = new RetryPolicy(options.retries);
  }

  /** A call that has not started: the caller starts it once its sink is ready. */
  sample(request: SampleRequest, sink: AnswerSink): SampleCall {
    const { credentials, timeouts } = this.#options;
    const upstream = this.#upstreams.for(request.jobArn);
    const dependencies = {
      upstream,
      credentials,
      timeouts,
      clock: this.#clock,
      retries: this.#retries,
    };
    return new SampleCall(request, dependencies, sink);
  }

  completeRollout(input: CompleteRolloutInput): Promise<LifecycleResult> {
    const { jobArn, trajectoryId, status, clientToken } = input;
    return this.#call({
      path: "/complete-rollout",
      jobArn,
      body: json({ TrajectoryId: trajectoryId, Status: status, ClientToken: clientToken }),
    });
  }

  updateReward(input: UpdateRewardInput): Promise<LifecycleResult> {
    const { jobArn, trajectoryId, rewards, clientToken } = input;
    return this.#call({
      path: "/update-reward",
      jobArn,
      body: json({ TrajectoryId: trajectoryId, Rewards: rewards, ClientToken: clientToken }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#upstreams[Symbol.asyncDispose]();
  }

  /** One signed call; once more after newer credentials or a corrected clock. */
  async #call(operation: Operation): Promise<LifecycleResult> {
    let credentials = await this.#options.credentials.get();
    let answer = await this.#exchange(operation, credentials);
    if ("error" in answer && isExpiredToken(answer.error)) {
      credentials = await this.#options.credentials.forceRefresh(credentials);
      answer = await this.#exchange(operation, credentials);
    }
    if ("error" in answer && isSkewSuspect(answer.error) && this.#clock.correct(answer.date)) {
      answer = await this.#exchange(operation, credentials);
    }
    if ("error" in answer) throw answer.error;
    return { requestId: answer.requestId };
  }

  async #exchange(operation: Operation, credentials: AwsCredentials): Promise<Answer> {
    const upstream = this.#upstreams.for(operation.jobArn);
    const request = await this.#signed(operation, upstream, credentials);
    try {
      const { statusCode, headers, body } = await upstream.dispatcher.request({
        ...request,
        signal: AbortSignal.timeout(lifecycleTimeoutMs),
      });
      const bytes = Buffer.from(await body.arrayBuffer());
      const requestId = text(headers["x-amzn-requestid"]);
      if (statusCode >= 200 && statusCode < 300) {
        upstream.circuit.succeeded();
        return { requestId };
      }
      const error = readServiceError({ status: statusCode, headers, body: bytes });
      // Lifecycle calls pass an open circuit: there are few, they are retried patiently, and each is a probe.
      upstream.circuit.failed(error);
      return { error, date: text(headers["date"]) };
    } catch (cause) {
      if (cause instanceof Error && cause.name === "TimeoutError") {
        throw new GatewayError(
          "upstream_timeout",
          `The service did not answer ${operation.path} within ${lifecycleTimeoutMs} ms.`,
          { cause },
        );
      }
      if (!(cause instanceof Error)) throw toGatewayError(cause);
      // The operations are idempotent by ClientToken, so "was it sent" does not matter to the caller.
      const error = connectionError(cause, { sent: isAfterConnect(cause), answered: false });
      upstream.circuit.failed(error);
      throw error;
    }
  }

  async #signed(
    { path, jobArn, body }: Operation,
    upstream: Upstream,
    credentials: AwsCredentials,
  ): Promise<Dispatcher.RequestOptions> {
    const signer = new SignatureV4({
      service: signingName,
      region: upstream.region,
      credentials,
      sha256: Sha256,
      applyChecksum: false,
    });
    const fullPath = `${upstream.basePath}${path}`;
    const { headers } = await signer.sign(
      {
        method: "POST",
        protocol: "https:",
        hostname: upstream.host,
        path: fullPath,
        headers: {
          host: upstream.host,
          "content-type": "application/json",
          "x-amzn-sagemaker-job-arn": jobArn,
        },
        body,
      },
      { signingDate: new Date(this.#clock.now()) },
    );
    return {
      origin: upstream.origin,
      path: fullPath,
      method: "POST",
      headers: { ...headers, "accept-encoding": "identity", "user-agent": userAgent },
      body,
    };
  }
}

type Answer =
  | { readonly requestId: string | undefined }
  | { readonly error: GatewayError; readonly date: string | undefined };

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function text(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** undici reports a broken established connection with its own socket error or the system's reset. */
function isAfterConnect(error: Error & { code?: unknown }): boolean {
  return error.code === "UND_ERR_SOCKET" || error.code === "ECONNRESET" || error.code === "EPIPE";
}
