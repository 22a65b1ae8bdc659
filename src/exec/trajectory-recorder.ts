/** What was asked and answered in the rollouts whose reward a command computes. In memory, until it is taken. */
import type { AnswerHead } from "../job-runtime/attempt.ts";
import type { AnswerSink, SampleRequest } from "../job-runtime/sample.ts";
import { assembleStream } from "../openai/assemble-stream.ts";

export interface RecordedTurn {
  /** The request as it was sent to the model; `null` beyond the limit. */
  readonly request: unknown;
  /** A chat.completion, put together from its chunks where it was streamed; `null` where there is none. */
  readonly response: unknown;
  /** The answer came to its end. */
  readonly finished: boolean;
}

/** Of one trajectory, in bytes: each request repeats the conversation before it. Later turns have `null` in place of bodies. */
const maxTrajectoryBytes = 256 * 1024 * 1024;

interface OpenTurn {
  request: Buffer | undefined;
  chunks: Buffer[];
  streamed: boolean;
  finished: boolean;
}

interface Recording {
  bytes: number;
  readonly turns: OpenTurn[];
}

export class TrajectoryRecorder {
  readonly #recordings = new Map<string, Recording>();

  /** From now on this trajectory's turns are kept. */
  start(trajectoryId: string): void {
    this.#recordings.set(trajectoryId, { bytes: 0, turns: [] });
  }

  /** The sink to give to the call: the same one for a trajectory that is not recorded. */
  watch({ trajectoryId, body }: SampleRequest, sink: AnswerSink): AnswerSink {
    const recording = this.#recordings.get(trajectoryId);
    if (recording === undefined) return sink;
    const turn: OpenTurn = { request: undefined, chunks: [], streamed: false, finished: false };
    recording.turns.push(turn);
    if (add(recording, body)) turn.request = body;
    return recordingSink({ recording, turn, sink });
  }

  /** The turns so far, and the end of the recording. */
  take(trajectoryId: string): RecordedTurn[] {
    const recording = this.#recordings.get(trajectoryId);
    this.#recordings.delete(trajectoryId);
    return (recording?.turns ?? []).map(toRecordedTurn);
  }
}

function add(recording: Recording, bytes: Buffer): boolean {
  if (recording.bytes + bytes.length > maxTrajectoryBytes) return false;
  recording.bytes += bytes.length;
  return true;
}

interface Watched {
  readonly recording: Recording;
  readonly turn: OpenTurn;
  readonly sink: AnswerSink;
}

function recordingSink({ recording, turn, sink }: Watched): AnswerSink {
  return {
    whole(head: AnswerHead, body: Buffer): void {
      if (add(recording, body)) turn.chunks.push(body);
      turn.finished = true;
      sink.whole(head, body);
    },
    begin(head: AnswerHead): void {
      turn.streamed = true;
      sink.begin(head);
    },
    write(bytes: Buffer): boolean {
      // A copy: what is handed on may be a view of a buffer that is used again.
      if (add(recording, bytes)) turn.chunks.push(Buffer.from(bytes));
      return sink.write(bytes);
    },
    end(): void {
      turn.finished = true;
      sink.end();
    },
    fail(error): void {
      sink.fail(error);
    },
  };
}

function toRecordedTurn({ request, chunks, streamed, finished }: OpenTurn): RecordedTurn {
  const bytes = Buffer.concat(chunks);
  return {
    request: request === undefined ? null : parse(request),
    response: (streamed ? assembleStream(bytes) : parse(bytes)) ?? null,
    finished,
  };
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return null;
  }
}
