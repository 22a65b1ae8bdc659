/**
 * One exchange with the service: sign → call → decode. It knows nothing of other attempts and of the
 * client; `sample.ts` decides what its end means for the turn.
 * Callbacks instead of web streams: measured.md says what those cost.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import { GatewayError, toGatewayError } from "../errors.ts";
import { type AnswerForm, answerForm, isModelsOwnError } from "./answer-form.ts";
import { connectionError } from "./connection-error.ts";
import type { AwsCredentials } from "./credentials.ts";
import { readServiceError } from "./errors.ts";
import { PayloadDecoder } from "./payloads.ts";
import type { Upstream } from "./upstreams.ts";
import { userAgent } from "./user-agent.ts";

export interface AnswerHead {
  readonly status: number;
  /** The model's content type; `text/event-stream` where the service framed the stream. */
  readonly contentType: string;
  readonly requestId: string | undefined;
}

/** Told how the exchange goes on. Nothing comes after `whole`, `ended` or `failed`, nor after an abort. */
export interface AttemptListener {
  /** An answer that is no stream, complete. */
  whole(head: AnswerHead, body: Buffer): void;
  /** The model's bytes, as they come; false asks for a pause. */
  bytes(head: AnswerHead, bytes: Buffer): boolean;
  /** The stream's clean end. */
  ended(): void;
  failed(error: GatewayError, attempt: Attempt): void;
}

export interface AttemptRequest {
  readonly upstream: Upstream;
  /** `/sample` or `/sample-with-response-stream`. */
  readonly operationPath: string;
  readonly jobArn: string;
  readonly trajectoryId: string;
  readonly body: Buffer;
  /** SHA-256 of the body, in hex. */
  readonly bodyHash: string;
  readonly credentials: AwsCredentials;
  /** `yyyymmddThhmmssZ` */
  readonly amzDate: string;
}

/** Answers that are not streams are kept until they are whole: a broken one can then be a real error status. */
const maxWholeAnswerBytes = 64 * 1024 * 1024;
/** An error answer's body is read up to here. */
const maxErrorBytes = 64 * 1024;
const nothing = Buffer.alloc(0);

export class Attempt implements Dispatcher.DispatchHandler {
  readonly #listener: AttemptListener;
  #controller: Dispatcher.DispatchController | undefined;
  #closed = false;
  #form: AnswerForm = "none";
  #head: AnswerHead = { status: 0, contentType: "", requestId: undefined };
  #headers: IncomingHttpHeaders = {};
  #chunks: Buffer[] = [];
  #chunkBytes = 0;
  #payloads: PayloadDecoder | undefined;
  #delivered = false;

  constructor(listener: AttemptListener) {
    this.#listener = listener;
  }

  /** The service's `Date`, once it has answered. */
  get date(): string | undefined {
    return this.#headers.date;
  }

  get requestId(): string | undefined {
    return this.#head.requestId;
  }

  get paused(): boolean {
    return this.#controller?.paused === true;
  }

  send(request: AttemptRequest): void {
    const { upstream, jobArn, trajectoryId, body, bodyHash, credentials, amzDate } = request;
    const path = upstream.basePath + request.operationPath;
    const signed: [string, string][] = [
      ["content-type", "application/json"],
      ["host", upstream.host],
      ["x-amz-date", amzDate],
    ];
    if (credentials.sessionToken) signed.push(["x-amz-security-token", credentials.sessionToken]);
    signed.push(
      ["x-amzn-sagemaker-job-arn", jobArn],
      ["x-amzn-sagemaker-trajectory-id", trajectoryId],
    );
    const authorization = upstream.signer.authorization(
      { path, headers: signed, bodyHash },
      credentials,
      amzDate,
    );
    const headers: string[] = ["authorization", authorization];
    for (const [name, value] of signed) headers.push(name, value);
    // Compressed bytes would have to be unpacked before they could be passed on as the model gave them.
    headers.push("accept-encoding", "identity", "user-agent", userAgent);
    upstream.dispatcher.dispatch(
      { origin: upstream.origin, path, method: "POST", headers, body },
      this,
    );
  }

  /** Ends the exchange at once, without a word to the listener. */
  abort(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#controller?.abort(new Error(reason));
  }

  resume(): void {
    if (!this.#closed) this.#controller?.resume();
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
    this.#form = answerForm(status, contentType);
    const framed = this.#form === "frames";
    if (framed) this.#payloads = new PayloadDecoder();
    this.#head = {
      status,
      contentType: framed ? "text/event-stream; charset=utf-8" : contentType,
      requestId: typeof requestId === "string" ? requestId : undefined,
    };
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#closed) return;
    if (this.#form === "frames") this.#decode(chunk);
    else if (this.#form === "bytes") this.#deliver(chunk);
    else this.#collect(chunk);
  }

  onResponseEnd(): void {
    if (this.#closed) return;
    if (this.#form === "whole") {
      this.#closed = true;
      this.#listener.whole(this.#head, this.#collected());
    } else if (this.#form === "error") {
      this.#refused();
    } else {
      this.#endOfStream();
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
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
    for (const payload of decoded.payloads) this.#deliver(payload);
    if (decoded.failure !== undefined) this.#fail(toGatewayError(decoded.failure));
  }

  #deliver(bytes: Buffer): void {
    this.#delivered = true;
    try {
      if (!this.#listener.bytes(this.#head, bytes)) this.#controller?.pause();
    } catch (error) {
      // Whoever cannot go on with these bytes says why; undici must not take it for the service's failure.
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
    if (this.#chunkBytes <= maxWholeAnswerBytes) return;
    this.#fail(
      new GatewayError(
        "upstream_protocol",
        `The service's answer is larger than ${maxWholeAnswerBytes} bytes; turnpike does not keep one that long. Ask for a stream.`,
      ),
    );
  }

  #collected(): Buffer {
    const [first] = this.#chunks;
    if (first === undefined) return nothing;
    return this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
  }

  #refused(): void {
    const body = this.#collected();
    if (isModelsOwnError(this.#headers, body)) {
      this.#closed = true;
      this.#listener.whole(this.#head, body);
      return;
    }
    this.#fail(readServiceError({ status: this.#head.status, headers: this.#headers, body }));
  }

  #endOfStream(): void {
    const incomplete = (this.#payloads?.pendingBytes ?? 0) > 0;
    if (incomplete || !this.#delivered) {
      this.#fail(
        new GatewayError(
          "stream_truncated",
          incomplete
            ? "The service's event stream ended inside a frame. The turn may have been captured; it was not sent again."
            : "The service's stream ended before its first event. The turn may have been captured; it was not sent again.",
        ),
      );
      return;
    }
    this.#closed = true;
    this.#listener.ended();
  }

  #fail(error: GatewayError): void {
    if (this.#closed) return;
    this.abort(error.message);
    this.#listener.failed(error, this);
  }
}
