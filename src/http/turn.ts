/**
 * One turn: the service's side (one logical call) and the clients that wait for its answer. Mostly that
 * is one client; a retry of the same request joins it here instead of becoming a second turn, and gets
 * what was already said from its first byte.
 */
import type { GatewayError } from "../errors.ts";
import type { TurnIdentity } from "../identity/identify.ts";
import type { AnswerHead } from "../job-runtime/attempt.ts";
import type { AnswerSink, SampleCall, SampleRequest } from "../job-runtime/sample.ts";
import { findUsage, type TokenCounts } from "../openai/usage.ts";
import type { TurnEnd, TurnOutcome } from "../rollouts/turn.ts";
import { ClientWriter, type ClientWriterOptions } from "./client-writer.ts";
import { StreamShaper } from "./stream-shaper.ts";
import type { RunningTurn } from "./turn-gate.ts";

/** One turn's line to the observers. */
export interface ObservedTurn {
  /** The turn's number within its trajectory, from 1. */
  readonly number: number;
  end(end: TurnEnd): void;
}

export interface TurnParts {
  readonly identity: TurnIdentity;
  readonly request: SampleRequest;
  readonly sample: (request: SampleRequest, sink: AnswerSink) => SampleCall;
  readonly observed: ObservedTurn;
  /** `performance.now()` when the request's headers were read. */
  readonly arrivedAt: number;
  readonly pingMs: number;
  readonly doneMarker: "required" | "optional";
  /** How long the call goes on without a client, in milliseconds: a retry may be on its way. */
  readonly joinGraceMs: number;
  /** Answers longer than this are not kept for a joiner; 0 keeps none. */
  readonly maxKeptBytes: number;
  /** Nobody waits any more and the call is over. */
  readonly onSettled: (turn: Turn, outcome: TurnOutcome) => void;
}

type TurnState = "running" | "whole" | "ended" | "failed" | "abandoned";

export class Turn implements AnswerSink, RunningTurn {
  /** Without the request: a turn kept for joiners must not keep a body that may be megabytes long. */
  readonly #parts: Omit<TurnParts, "request" | "sample">;
  /** Until the turn is settled. */
  #call: SampleCall | undefined;
  #attempts = 0;
  readonly #writers = new Set<ClientWriter>();
  #state: TurnState = "running";
  #shaper: StreamShaper | undefined;
  #head: AnswerHead | undefined;
  #error: GatewayError | undefined;
  /** What was said so far, for joiners; `undefined` once it is too long to keep. */
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  #graceTimer: NodeJS.Timeout | undefined;
  #settled = false;
  #delivered = false;
  #lastStatus = 499;
  #bytesOut = 0;
  #firstByteMs: number | undefined;
  #usage: TokenCounts | undefined;

  constructor({ request, sample, ...parts }: TurnParts) {
    this.#parts = parts;
    this.#call = sample(request, this);
    if (parts.maxKeptBytes === 0) this.#kept = undefined;
  }

  /** What keeping it for joiners costs. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Why it failed, once it has. */
  get error(): GatewayError | undefined {
    return this.#error;
  }

  /** A retry can have its answer from the first byte on. */
  get joinable(): boolean {
    return this.#kept !== undefined && (this.#state === "running" || this.complete);
  }

  /** The service's answer is there in full, whether or not a client has it. */
  get complete(): boolean {
    return this.#state === "whole" || this.#state === "ended";
  }

  /** Its first client is gone and nobody has taken its place. */
  get orphaned(): boolean {
    return this.#writers.size === 0;
  }

  start(outgoing: ClientWriterOptions["outgoing"]): void {
    // The client may have left while its body was read.
    if (outgoing.destroyed) {
      this.#abandon();
      return;
    }
    this.#attach(outgoing, {});
    this.#call?.start();
  }

  /** A retry of the same request: it gets everything from the first byte on. */
  join(outgoing: ClientWriterOptions["outgoing"]): void {
    if (outgoing.destroyed) return;
    clearTimeout(this.#graceTimer);
    const how = this.#state === "running" ? "in-flight" : "replay";
    const writer = this.#attach(outgoing, { "x-turnpike-joined": how });
    const head = this.#head;
    const kept = this.#kept ?? [];
    if (head === undefined) return;
    if (this.#state === "whole") {
      writer.whole(head, kept[0] ?? Buffer.alloc(0));
      return;
    }
    writer.begin(head);
    for (const bytes of kept) writer.write(bytes);
    if (this.#state === "ended") writer.end();
  }

  /** Ends the turn now, with an error the clients can see. */
  cutShort(error: GatewayError): void {
    this.#call?.abort();
    if (this.#state === "running") this.fail(error);
    for (const writer of this.#writers) writer.destroyAfter(1_000);
    this.#settleIfOver();
  }

  // AnswerSink

  whole(head: AnswerHead, body: Buffer): void {
    this.#state = "whole";
    this.#head = head;
    this.#usage = findUsage(body);
    this.#keep(body);
    for (const writer of this.#writers) writer.whole(head, body);
    this.#settleIfOver();
  }

  begin(head: AnswerHead): void {
    this.#head = head;
    this.#shaper = new StreamShaper(this.#parts.doneMarker);
    for (const writer of this.#writers) writer.begin(head);
  }

  write(bytes: Buffer): boolean {
    const ready = this.#shaper?.push(bytes);
    return ready === undefined || this.#send(ready);
  }

  end(): void {
    const ending = this.#shaper?.end();
    if (ending?.missing) {
      this.fail(ending.missing);
      return;
    }
    if (ending?.rest) this.#send(ending.rest);
    this.#state = "ended";
    for (const writer of this.#writers) writer.end();
    this.#settleIfOver();
  }

  fail(error: GatewayError): void {
    this.#state = "failed";
    this.#error = error;
    for (const writer of this.#writers) writer.fail(error);
    this.#settleIfOver();
  }

  // clients

  #attach(
    outgoing: ClientWriterOptions["outgoing"],
    more: Readonly<Record<string, string>>,
  ): ClientWriter {
    const writer = new ClientWriter({
      outgoing,
      pingMs: this.#parts.pingMs,
      headers: () => ({ ...this.#headers(), ...more }),
      betweenEvents: () => this.#shaper?.betweenEvents ?? true,
      onDrain: () => this.#resumeIfClear(),
      onFirstByte: () => {
        this.#firstByteMs ??= performance.now() - this.#parts.arrivedAt;
      },
      onClose: (closed) => this.#detach(closed),
    });
    this.#writers.add(writer);
    return writer;
  }

  #detach(writer: ClientWriter): void {
    this.#writers.delete(writer);
    this.#delivered ||= writer.finished;
    this.#bytesOut += writer.bytesOut;
    if (writer.finished || this.#lastStatus === 499) this.#lastStatus = writer.status;
    if (this.#state === "running" && this.#writers.size === 0) {
      const { joinGraceMs } = this.#parts;
      if (joinGraceMs === 0) {
        this.#abandon();
        return;
      }
      this.#graceTimer = setTimeout(() => this.#abandon(), joinGraceMs);
    }
    this.#resumeIfClear();
    this.#settleIfOver();
  }

  /** Nobody waits for the answer: the service need not go on either. */
  #abandon(): void {
    this.#call?.abort();
    this.#state = "abandoned";
    this.#settleIfOver();
  }

  #send(bytes: Buffer): boolean {
    this.#keep(bytes);
    let clear = true;
    for (const writer of this.#writers) clear = writer.write(bytes) && clear;
    return clear;
  }

  #keep(bytes: Buffer): void {
    if (this.#kept === undefined) return;
    this.#keptBytes += bytes.length;
    if (this.#keptBytes <= this.#parts.maxKeptBytes) {
      this.#kept.push(bytes);
      return;
    }
    this.#kept = undefined;
    this.#keptBytes = 0;
  }

  /** The slowest client sets the pace: its answer would pile up here otherwise. */
  #resumeIfClear(): void {
    for (const writer of this.#writers) if (writer.blocked) return;
    this.#call?.resume();
  }

  #headers(): Record<string, string> {
    return {
      "x-turnpike-trajectory-id": this.#parts.identity.trajectoryId,
      "x-turnpike-turn": String(this.#parts.observed.number),
      "x-turnpike-attempts": String(this.#call?.attempts ?? this.#attempts),
    };
  }

  // the end

  #settleIfOver(): void {
    if (this.#settled || this.#state === "running" || this.#writers.size > 0) return;
    this.#settled = true;
    clearTimeout(this.#graceTimer);
    const outcome = this.#outcome();
    const error = this.#error;
    const usage = this.#usage ?? this.#shaper?.usage();
    const call = this.#call;
    this.#call = undefined;
    this.#attempts = call?.attempts ?? 0;
    const requestId = call?.requestId ?? error?.requestId;
    this.#parts.observed.end({
      outcome,
      status: this.#lastStatus,
      ...(error ? { code: error.code } : {}),
      ...(error?.serviceType ? { serviceType: error.serviceType } : {}),
      ...(requestId === undefined ? {} : { requestId }),
      bytesOut: this.#bytesOut,
      ...(this.#firstByteMs === undefined ? {} : { firstByteMs: this.#firstByteMs }),
      durationMs: performance.now() - this.#parts.arrivedAt,
      attempts: this.#attempts,
      ...(usage ? { usage } : {}),
      ...(call?.possibleDuplicate ? { possibleDuplicate: true } : {}),
    });
    this.#parts.onSettled(this, outcome);
  }

  #outcome(): TurnOutcome {
    if (this.#state === "abandoned" || !this.#delivered) return "client_left";
    if (this.#state !== "failed") return "finished";
    return this.#head === undefined ? "failed" : "truncated";
  }
}
