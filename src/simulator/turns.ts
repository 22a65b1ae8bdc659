/** What was captured of a turn: the request and the response, their bytes kept within a bound. */
import type { DisconnectWindow } from "./events.ts";
import type { SampleOperation, TrajectoryKey } from "./members.ts";

/** Bytes as text where they are UTF-8, else as base64; `dropped` once the memory bound took them. */
export type CapturedBody =
  | { readonly text: string }
  | { readonly base64: string }
  | { readonly dropped: true; readonly bytes: number };

/**
 * How the response went: `open` while it runs, `complete` when every byte the model gave was handed to
 * the client, `client-left` when the client went first, `fault` when an injected fault damaged it,
 * `model-failed` when the model broke off, `closed` when the simulator was closed.
 */
export type TurnOutcome = "open" | "complete" | "client-left" | "fault" | "model-failed" | "closed";

/** One captured turn as it is exported. Times are epoch milliseconds of the simulator's clock. */
export interface CapturedTurn extends TrajectoryKey {
  /** 1 for the trajectory's first turn, in the order of capture. */
  readonly sequence: number;
  readonly operation: SampleOperation;
  readonly requestId: string;
  readonly receivedAt: number;
  readonly capturedAt: number;
  readonly firstByteAt: number | null;
  readonly finishedAt: number | null;
  readonly outcome: TurnOutcome;
  /** When the client left before the end: in which window. */
  readonly clientLeft: DisconnectWindow | null;
  /** The kinds of fault injected into this turn. */
  readonly faults: readonly string[];
  readonly request: {
    readonly headers: Readonly<Record<string, string>>;
    readonly body: CapturedBody;
  };
  readonly response: {
    readonly status: number;
    readonly contentType: string;
    /** The model's own bytes, without frames. */
    readonly body: CapturedBody;
  };
}

/** A turn in memory: the exported fields, still changing, with its bodies as bytes. */
export interface TurnRecord extends TrajectoryKey {
  readonly sequence: number;
  readonly operation: SampleOperation;
  readonly requestId: string;
  readonly receivedAt: number;
  readonly capturedAt: number;
  firstByteAt: number | null;
  finishedAt: number | null;
  outcome: TurnOutcome;
  clientLeft: DisconnectWindow | null;
  faults: readonly string[];
  readonly requestHeaders: Readonly<Record<string, string>>;
  readonly status: number;
  readonly contentType: string;
  requestBody: Uint8Array | DroppedBody;
  responseParts: Uint8Array[] | DroppedBody;
}

export interface DroppedBody {
  readonly droppedBytes: number;
}

/** The turn as it is exported, at this moment. */
export function exportTurn(turn: TurnRecord): CapturedTurn {
  return {
    jobArn: turn.jobArn,
    trajectoryId: turn.trajectoryId,
    sequence: turn.sequence,
    operation: turn.operation,
    requestId: turn.requestId,
    receivedAt: turn.receivedAt,
    capturedAt: turn.capturedAt,
    firstByteAt: turn.firstByteAt,
    finishedAt: turn.finishedAt,
    outcome: turn.outcome,
    clientLeft: turn.clientLeft,
    faults: turn.faults,
    request: { headers: turn.requestHeaders, body: exportBody(turn.requestBody) },
    response: {
      status: turn.status,
      contentType: turn.contentType,
      body: exportBody(
        "droppedBytes" in turn.responseParts
          ? turn.responseParts
          : Buffer.concat(turn.responseParts),
      ),
    },
  };
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function exportBody(body: Uint8Array | DroppedBody): CapturedBody {
  if ("droppedBytes" in body) return { dropped: true, bytes: body.droppedBytes };
  try {
    return { text: strictUtf8.decode(body) };
  } catch {
    return { base64: Buffer.from(body).toString("base64") };
  }
}

export interface TurnMemoryOptions {
  /** Turns kept; the oldest are handed to `forget` beyond it. */
  readonly maxTurns: number;
  /** Body bytes kept over all turns; the oldest bodies are dropped beyond it. */
  readonly maxBodyBytes: number;
  /** Called with each turn that fell out of memory. */
  readonly forget: (turn: TurnRecord) => void;
}

/** Keeps the turns in memory bounded, in number and in bytes, oldest out first, each step O(1) amortised. */
export class TurnMemory {
  readonly #options: TurnMemoryOptions;
  #turns: TurnRecord[] = [];
  /** Turns before this index were forgotten. */
  #first = 0;
  /** Turns before this index have no bodies any more. */
  #firstWithBody = 0;
  #bodyBytes = 0;

  constructor(options: TurnMemoryOptions) {
    this.#options = options;
  }

  /** Every turn still in memory, oldest first. */
  *turns(): Generator<TurnRecord> {
    for (let index = this.#first; index < this.#turns.length; index += 1) {
      const turn = this.#turns[index];
      if (turn !== undefined) yield turn;
    }
  }

  add(turn: TurnRecord): void {
    this.#turns.push(turn);
    this.#bodyBytes += bodyBytes(turn);
    this.#shrink();
  }

  /** Adds bytes of the response to a turn, unless its bodies were dropped meanwhile. */
  appendResponse(turn: TurnRecord, bytes: Uint8Array): void {
    if ("droppedBytes" in turn.responseParts) {
      turn.responseParts = { droppedBytes: turn.responseParts.droppedBytes + bytes.length };
      return;
    }
    turn.responseParts.push(bytes);
    this.#bodyBytes += bytes.length;
    this.#shrink();
  }

  /** Joins the parts of a response that has ended, which then take less room. */
  compact(turn: TurnRecord): void {
    if (!("droppedBytes" in turn.responseParts) && turn.responseParts.length > 1) {
      turn.responseParts = [Buffer.concat(turn.responseParts)];
    }
  }

  clear(): void {
    this.#turns = [];
    this.#first = 0;
    this.#firstWithBody = 0;
    this.#bodyBytes = 0;
  }

  #shrink(): void {
    while (this.#turns.length - this.#first > this.#options.maxTurns) this.#forgetOldest();
    while (
      this.#bodyBytes > this.#options.maxBodyBytes &&
      this.#firstWithBody < this.#turns.length
    ) {
      this.#dropBody(this.#turns[this.#firstWithBody]);
      this.#firstWithBody += 1;
    }
    // Now and then, so that the array does not grow for ever.
    if (this.#first > 1024 && this.#first * 2 > this.#turns.length) {
      this.#turns = this.#turns.slice(this.#first);
      this.#firstWithBody -= this.#first;
      this.#first = 0;
    }
  }

  #forgetOldest(): void {
    const oldest = this.#turns[this.#first];
    this.#first += 1;
    if (oldest === undefined) return;
    this.#dropBody(oldest);
    this.#firstWithBody = Math.max(this.#firstWithBody, this.#first);
    this.#options.forget(oldest);
  }

  #dropBody(turn: TurnRecord | undefined): void {
    if (turn === undefined) return;
    this.#bodyBytes -= bodyBytes(turn);
    if (!("droppedBytes" in turn.requestBody)) {
      turn.requestBody = { droppedBytes: turn.requestBody.length };
    }
    if (!("droppedBytes" in turn.responseParts)) {
      turn.responseParts = { droppedBytes: totalBytes(turn.responseParts) };
    }
  }
}

function bodyBytes(turn: TurnRecord): number {
  const request = "droppedBytes" in turn.requestBody ? 0 : turn.requestBody.length;
  const response = "droppedBytes" in turn.responseParts ? 0 : totalBytes(turn.responseParts);
  return request + response;
}

function totalBytes(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
