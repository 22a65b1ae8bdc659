/**
 * One turn's way to the service: credentials → attempt → (again, where that cannot make a second turn) →
 * the sink. design.md, "The corridor", steps 4 to 6, and "One logical turn, one captured turn".
 */
import { type GatewayError, toGatewayError } from "../errors.ts";
import { type AnswerHead, Attempt, type AttemptListener } from "./attempt.ts";
import { CallDeadline, type SampleTimeouts } from "./call-deadline.ts";
import type { ServiceClock } from "./clock.ts";
import type { AwsCredentials, CredentialSource } from "./credentials.ts";
import { isExpiredToken, isSkewSuspect } from "./errors.ts";
import { isAmbiguous, type RetryPolicy } from "./retry-policy.ts";
import type { Upstream } from "./upstreams.ts";

export interface SampleRequest {
  readonly jobArn: string;
  readonly trajectoryId: string;
  /** The OpenAI-format JSON; goes out byte for byte. */
  readonly body: Buffer;
  /** SHA-256 of the body, in hex. */
  readonly bodyHash: string;
  /** SampleWithResponseStream instead of Sample. */
  readonly stream: boolean;
  /** How long the client waits for its answer, in milliseconds; default the total timeout. */
  readonly patienceMs?: number | undefined;
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
  readonly retries: RetryPolicy;
}

/** Make it, `start` it, `abort` it when the client leaves. */
export class SampleCall implements AttemptListener {
  readonly #request: SampleRequest;
  readonly #dependencies: SampleDependencies;
  readonly #sink: AnswerSink;
  readonly #deadline: CallDeadline;
  readonly #startedAt = performance.now();

  #attempt: Attempt | undefined;
  #credentials: AwsCredentials | undefined;
  #attempts = 0;
  #refreshed = false;
  #resigned = false;
  #possibleDuplicate = false;
  #resendTimer: NodeJS.Timeout | undefined;
  #closed = false;
  #begun = false;

  constructor(request: SampleRequest, dependencies: SampleDependencies, sink: AnswerSink) {
    this.#request = request;
    this.#dependencies = dependencies;
    this.#sink = sink;
    this.#deadline = new CallDeadline({
      timeouts: dependencies.timeouts,
      isPaused: () => this.#attempt?.paused === true,
      onOver: (error) => this.#timedOut(error),
    });
  }

  /** Calls made to the service so far. */
  get attempts(): number {
    return this.#attempts;
  }

  /** The service's request id, once it has answered. */
  get requestId(): string | undefined {
    return this.#attempt?.requestId;
  }

  /** It was sent again although an earlier attempt may have been captured (`retries.ambiguous: resend`). */
  get possibleDuplicate(): boolean {
    return this.#possibleDuplicate;
  }

  start(): void {
    this.#deadline.start();
    this.#dependencies.retries.firstCall();
    const credentials = this.#dependencies.credentials.current();
    if (credentials) this.#send(credentials);
    else this.#sendWith(this.#dependencies.credentials.get());
  }

  /** The client is gone: ends the call at once, without a word to the sink. */
  abort(): void {
    if (this.#closed) return;
    if (this.#attempts > 0) this.#dependencies.upstream.circuit.abandoned();
    this.#close();
    this.#attempt?.abort("the client went away");
  }

  /** The sink takes bytes again. */
  resume(): void {
    if (this.#closed) return;
    this.#deadline.noteByte();
    this.#attempt?.resume();
  }

  // one attempt

  #sendWith(credentials: Promise<AwsCredentials>): void {
    credentials.then(
      (got) => this.#send(got),
      (error: unknown) => this.#fail(toGatewayError(error)),
    );
  }

  #send(credentials: AwsCredentials): void {
    if (this.#closed) return;
    const { upstream, clock } = this.#dependencies;
    const refusal = upstream.circuit.admit();
    if (refusal) {
      this.#fail(refusal);
      return;
    }
    const { jobArn, trajectoryId, body, bodyHash, stream } = this.#request;
    this.#credentials = credentials;
    this.#attempts += 1;
    this.#attempt = new Attempt(this);
    this.#attempt.send({
      upstream,
      operationPath: stream ? "/sample-with-response-stream" : "/sample",
      jobArn,
      trajectoryId,
      body,
      bodyHash,
      credentials,
      amzDate: clock.amzDate(),
    });
  }

  // AttemptListener

  whole(head: AnswerHead, body: Buffer): void {
    this.#dependencies.upstream.circuit.succeeded();
    this.#close();
    this.#sink.whole(head, body);
  }

  bytes(head: AnswerHead, bytes: Buffer): boolean {
    this.#deadline.noteByte();
    if (!this.#begun) {
      this.#begun = true;
      this.#dependencies.upstream.circuit.succeeded();
      this.#sink.begin(head);
    }
    return this.#sink.write(bytes);
  }

  ended(): void {
    this.#close();
    this.#sink.end();
  }

  failed(error: GatewayError, attempt: Attempt): void {
    if (this.#closed) return;
    // Once bytes have gone to the client there is only one way on: to say that it broke.
    if (this.#begun) {
      this.#fail(error);
      return;
    }
    this.#dependencies.upstream.circuit.failed(error);
    if (!this.#mended(error, attempt)) this.#resendOrFail(error);
  }

  // again

  /** True when the refusal was about the signature and a better one is on its way. */
  #mended(error: GatewayError, attempt: Attempt): boolean {
    const { credentials, clock } = this.#dependencies;
    if (isExpiredToken(error) && !this.#refreshed && this.#credentials) {
      this.#refreshed = true;
      this.#sendWith(credentials.forceRefresh(this.#credentials));
      return true;
    }
    if (isSkewSuspect(error) && !this.#resigned && clock.correct(attempt.date)) {
      this.#resigned = true;
      if (this.#credentials) this.#send(this.#credentials);
      return true;
    }
    return false;
  }

  #resendOrFail(error: GatewayError): void {
    const { retries, timeouts } = this.#dependencies;
    const delayMs = retries.delayBeforeResend({
      error,
      attempts: this.#attempts,
      elapsedMs: performance.now() - this.#startedAt,
      patienceMs: Math.min(timeouts.totalMs, this.#request.patienceMs ?? timeouts.totalMs),
    });
    if (delayMs === undefined) {
      this.#fail(error);
      return;
    }
    if (isAmbiguous(error)) this.#possibleDuplicate = true;
    this.#resendTimer = setTimeout(() => {
      this.#deadline.nextAttempt();
      const credentials = this.#dependencies.credentials.current();
      if (credentials) this.#send(credentials);
      else this.#sendWith(this.#dependencies.credentials.get());
    }, delayMs);
  }

  #timedOut(error: GatewayError): void {
    if (this.#closed) return;
    this.#attempt?.abort(error.message);
    if (this.#begun || this.#deadline.isTotalOver()) this.#fail(error);
    else {
      this.#dependencies.upstream.circuit.abandoned();
      this.#resendOrFail(error);
    }
  }

  // ends

  #fail(error: GatewayError): void {
    if (this.#closed) return;
    this.#close();
    this.#attempt?.abort(error.message);
    this.#sink.fail(error);
  }

  #close(): void {
    this.#closed = true;
    this.#deadline.stop();
    clearTimeout(this.#resendTimer);
  }
}
