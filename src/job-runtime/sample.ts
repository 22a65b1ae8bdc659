/**
 * One Sample or SampleWithResponseStream: credentials → sign → call → decode → the sink.
 * design.md, "The corridor", steps 4 to 6. Callbacks instead of web streams: measured.md says what those cost.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import { GatewayError, toGatewayError } from "../errors.ts";
import { type AnswerForm, answerForm, isModelsOwnError } from "./answer-form.ts";
import { CallDeadline, type SampleTimeouts } from "./call-deadline.ts";
import type { ServiceClock } from "./clock.ts";
import { connectionError } from "./connection-error.ts";
import type { AwsCredentials, CredentialSource } from "./credentials.ts";
import { isExpiredToken, isSkewSuspect, readServiceError } from "./errors.ts";
import { PayloadDecoder } from "./payloads.ts";
import type { Upstream } from "./upstreams.ts";
import { userAgent } from "./user-agent.ts";

export interface SampleRequest {
  readonly jobArn: string;
  readonly trajectoryId: string;
  /** The OpenAI-format JSON; goes out byte for byte. */
  readonly body: Buffer;
  /** SampleWithResponseStream instead of Sample. */
  readonly stream: boolean;
}

export interface AnswerHead {
  readonly status: number;
  /** The model's content type; `text/event-stream` where the service framed the stream. */
  readonly contentType: string;
  readonly requestId: string | undefined;
}

/**
 * Where the answer goes. Either `whole` once; or `begin`, then `write`s, then `end` or `fail`; or `fail`
 * alone. `begin` comes only when the first bytes of the model's answer are known good. Nothing comes
 * after `end`, `fail`, `whole` or an abort.
 */
export interface AnswerSink {
  whole(head: AnswerHead, body: Buffer): void;
  begin(head: AnswerHead): void;
  /** Returns false to ask for a pause; whoever says so calls `resume` later. */
  write(bytes: Buffer): boolean;
  end(): void;
  fail(error: GatewayError): void;
}

export interface SampleDependencies {
  readonly upstream: Upstream;
  readonly credentials: CredentialSource;
  readonly clock: ServiceClock;
  readonly timeouts: SampleTimeouts;
}

/** Answers that are not streams are kept until they are whole: a broken one can then be a real error status. */
const maxWholeAnswerBytes = 64 * 1024 * 1024;
/** An error answer's body is read up to here. */
const maxErrorBytes = 64 * 1024;

/** One call. Make it, `start` it, `abort` it when the client leaves. */
export class SampleCall implements Dispatcher.DispatchHandler {
  readonly #request: SampleRequest;
  readonly #dependencies: SampleDependencies;
  readonly #sink: AnswerSink;

  #controller: Dispatcher.DispatchController | undefined;
  #credentials: AwsCredentials | undefined;
  #attempts = 0;
  #refreshed = false;
  #resigned = false;

  #closed = false;
  #begun = false;
  #form: AnswerForm = "none";
  #head: AnswerHead = { status: 0, contentType: "", requestId: undefined };
  #headers: IncomingHttpHeaders = {};
  #chunks: Buffer[] = [];
  #chunkBytes = 0;
  #payloads: PayloadDecoder | undefined;

  readonly #deadline: CallDeadline;

  constructor(request: SampleRequest, dependencies: SampleDependencies, sink: AnswerSink) {
    this.#request = request;
    this.#dependencies = dependencies;
    this.#sink = sink;
    this.#deadline = new CallDeadline({
      timeouts: dependencies.timeouts,
      isPaused: () => this.#controller?.paused === true,
      onOver: (error) => this.#fail(error),
    });
  }

  /** Calls made to the service so far. */
  get attempts(): number {
    return this.#attempts;
  }

  /** The service's request id, once it has answered. */
  get requestId(): string | undefined {
    return this.#head.requestId;
  }

  start(): void {
    this.#deadline.start();
    const credentials = this.#dependencies.credentials.current();
    if (credentials) this.#send(credentials);
    else this.#sendWith(this.#dependencies.credentials.get());
  }

  /** The client is gone: ends the call at once, without a word to the sink. */
  abort(): void {
    if (this.#closed) return;
    this.#close();
    this.#controller?.abort(new Error("the client went away"));
  }

  resume(): void {
    if (this.#closed) return;
    this.#deadline.noteByte();
    this.#controller?.resume();
  }

  // sign and call

  #sendWith(credentials: Promise<AwsCredentials>): void {
    credentials.then(
      (got) => this.#send(got),
      (error: unknown) => this.#fail(toGatewayError(error)),
    );
  }

  #send(credentials: AwsCredentials): void {
    if (this.#closed) return;
    const { upstream, clock } = this.#dependencies;
    const { jobArn, trajectoryId, body, stream } = this.#request;
    const path = `${upstream.basePath}${stream ? "/sample-with-response-stream" : "/sample"}`;
    const amzDate = clock.amzDate();
    const signed: [string, string][] = [
      ["content-type", "application/json"],
      ["host", upstream.host],
      ["x-amz-date", amzDate],
    ];
    if (credentials.sessionToken) {
      signed.push(["x-amz-security-token", credentials.sessionToken]);
    }
    signed.push(
      ["x-amzn-sagemaker-job-arn", jobArn],
      ["x-amzn-sagemaker-trajectory-id", trajectoryId],
    );
    const authorization = upstream.signer.authorization(
      { path, headers: signed, body },
      credentials,
      amzDate,
    );
    const headers: string[] = ["authorization", authorization];
    for (const [name, value] of signed) headers.push(name, value);
    // Compressed bytes would have to be unpacked before they could be passed on as the model gave them.
    headers.push("accept-encoding", "identity", "user-agent", userAgent);
    this.#credentials = credentials;
    this.#controller = undefined;
    this.#attempts += 1;
    this.#form = "none";
    upstream.dispatcher.dispatch(
      { origin: upstream.origin, path, method: "POST", headers, body },
      this,
    );
  }

  /** True when the refusal was worth one more call, which is then under way. */
  #resend(error: GatewayError): boolean {
    if (isExpiredToken(error) && !this.#refreshed && this.#credentials) {
      this.#refreshed = true;
      this.#sendWith(this.#dependencies.credentials.forceRefresh(this.#credentials));
      return true;
    }
    const date = this.#headers["date"];
    if (isSkewSuspect(error) && !this.#resigned && this.#dependencies.clock.correct(date)) {
      this.#resigned = true;
      if (this.#credentials) this.#send(this.#credentials);
      return true;
    }
    return false;
  }

  // undici's handler

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // The client may have left while the connection was being made.
    if (this.#closed) controller.abort(new Error("the client went away"));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (this.#closed || status < 200) return;
    const contentType = headers["content-type"] ?? "";
    const requestId = headers["x-amzn-requestid"];
    this.#headers = headers;
    this.#head = {
      status,
      contentType,
      requestId: typeof requestId === "string" ? requestId : undefined,
    };
    this.#chunks = [];
    this.#chunkBytes = 0;
    this.#form = answerForm(status, contentType);
    if (this.#form !== "frames") return;
    this.#head = { ...this.#head, contentType: "text/event-stream; charset=utf-8" };
    this.#payloads = new PayloadDecoder();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#closed) return;
    this.#deadline.noteByte();
    switch (this.#form) {
      case "frames":
        this.#decode(chunk);
        break;
      case "bytes":
        this.#pass(chunk);
        break;
      case "whole":
      case "error":
        this.#collect(chunk);
        break;
      case "none":
        break;
    }
  }

  onResponseEnd(): void {
    if (this.#closed) return;
    switch (this.#form) {
      case "whole":
        this.#close();
        this.#sink.whole(this.#head, joined(this.#chunks, this.#chunkBytes));
        break;
      case "error":
        this.#refused();
        break;
      default:
        this.#endOfStream();
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
    if (this.#closed) return;
    this.#fail(
      connectionError(cause, {
        sent: this.#controller !== undefined,
        answered: this.#form !== "none",
      }),
    );
  }

  // decode

  #decode(chunk: Buffer): void {
    const decoded = this.#payloads?.decode(chunk);
    if (decoded === undefined) return;
    if (decoded.payload.length > 0) this.#pass(decoded.payload);
    if (decoded.failure !== undefined) this.#fail(toGatewayError(decoded.failure));
  }

  #pass(bytes: Buffer): void {
    try {
      if (!this.#begun) {
        this.#begun = true;
        this.#sink.begin(this.#head);
      }
      if (!this.#sink.write(bytes)) this.#controller?.pause();
    } catch (error) {
      // A sink that cannot go on says why; undici must not take it for the service's failure.
      this.#fail(toGatewayError(error));
    }
  }

  #collect(chunk: Buffer): void {
    this.#chunkBytes += chunk.length;
    if (this.#form === "error") {
      if (this.#chunkBytes <= maxErrorBytes) this.#chunks.push(chunk);
      return;
    }
    this.#chunks.push(chunk);
    if (this.#chunkBytes > maxWholeAnswerBytes) {
      this.#fail(
        new GatewayError(
          "upstream_protocol",
          `The service's answer is larger than ${maxWholeAnswerBytes} bytes; turnpike does not keep one that long. Ask for a stream.`,
        ),
      );
    }
  }

  #refused(): void {
    const body = joined(this.#chunks);
    if (isModelsOwnError(this.#headers, body)) {
      this.#close();
      this.#sink.whole(this.#head, body);
      return;
    }
    const error = readServiceError({ status: this.#head.status, headers: this.#headers, body });
    if (!this.#resend(error)) this.#fail(error);
  }

  #endOfStream(): void {
    const incomplete = this.#payloads?.pendingBytes ?? 0;
    if (incomplete > 0 || !this.#begun) {
      this.#fail(
        new GatewayError(
          "stream_truncated",
          incomplete > 0
            ? "The service's event stream ended inside a frame. The turn may have been captured; it was not sent again."
            : "The service's stream ended before its first event. The turn may have been captured; it was not sent again.",
        ),
      );
      return;
    }
    this.#close();
    this.#sink.end();
  }

  // ends

  #fail(error: GatewayError): void {
    if (this.#closed) return;
    this.#close();
    this.#controller?.abort(error);
    this.#sink.fail(error);
  }

  #close(): void {
    this.#closed = true;
    this.#deadline.stop();
  }
}

function joined(chunks: readonly Buffer[], bytes?: number): Buffer {
  const [first] = chunks;
  if (first === undefined) return Buffer.alloc(0);
  return chunks.length === 1 ? first : Buffer.concat(chunks, bytes);
}
