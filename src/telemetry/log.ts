/** One JSON line per event on stdout. Ids, status, bytes and timings; never a body, a key or a signature. */
import { type DestinationStream, type Logger, pino } from "pino";
import type { TurnEnd, TurnStart } from "../rollouts/turn.ts";
import { version } from "../version.ts";
import { LineBatch } from "./line-batch.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Where the lines go; stdout when absent. */
  readonly destination?: DestinationStream;
}

/** Nothing logs these on purpose; should something do so by accident, their value does not reach the log. */
const secretNames = [
  "authorization",
  "Authorization",
  "cookie",
  "api_key",
  "apiKey",
  "api_keys",
  "x-api-key",
  "x-amz-security-token",
  "X-Amz-Security-Token",
  "accessKeyId",
  "secretAccessKey",
  "sessionToken",
  "credentials",
  "body",
];

const containers = ["headers", "request", "config", "server"];

export function createLogger({ level, destination }: LoggerOptions): Logger {
  const options = {
    level,
    base: { service: "turnpike", version },
    timestamp: isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
    redact: { paths: [...secretNames, ...containers.flatMap(within)], censor: "[redacted]" },
  };
  return pino(options, destination ?? new LineBatch());
}

function within(container: string): string[] {
  return secretNames.map((name) => `${container}["${name}"]`);
}

let lastTimeMs = -1;
let lastTime = "";

/** Formatting a date costs more than the rest of a line's prefix, and many lines share a millisecond. */
function isoTime(): string {
  const now = Date.now();
  if (now !== lastTimeMs) {
    lastTimeMs = now;
    lastTime = `,"time":"${new Date(now).toISOString()}"`;
  }
  return lastTime;
}

/**
 * The corridor's account of a turn, one line at info. Its fields stand together under `turn`: pino then writes
 * them with a single JSON.stringify, in half the time it takes over as many fields of the line itself.
 */
export function logTurn(log: Logger, turn: LoggedTurn, end: TurnEnd): void {
  if (!log.isLevelEnabled("info")) return;
  const { start } = turn;
  const fields = {
    job_arn: start.jobArn,
    trajectory_id: start.trajectoryId,
    number: turn.number,
    stream: start.stream,
    outcome: end.outcome,
    status: end.status,
    code: end.code,
    service_type: end.serviceType,
    request_id: end.requestId,
    bytes_in: start.bytesIn,
    bytes_out: end.bytesOut,
    first_byte_ms: tenths(end.firstByteMs),
    duration_ms: tenths(end.durationMs),
    attempts: end.attempts,
    // 0 in nearly every line: left out there.
    retry_count: start.retryCount === 0 ? undefined : start.retryCount,
    prompt_tokens: end.usage?.promptTokens,
    completion_tokens: end.usage?.completionTokens,
  };
  log.info({ turn: fields }, "turn-ended");
}

export interface LoggedTurn {
  readonly start: TurnStart;
  /** 1-based, in the trajectory. */
  readonly number: number;
}

function tenths(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : Math.round(milliseconds * 10) / 10;
}

interface DescribedError {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: DescribedError;
}

const maxCauses = 5;

/**
 * Name, message, code, stack and causes, and no other property: the AWS SDK hangs whole requests and responses
 * on its errors. A SyntaxError's text is withheld, since JSON.parse quotes its input in it, and that is a body.
 */
export function describeError(thrown: unknown, depth = 0): DescribedError {
  if (!(thrown instanceof Error)) return { type: typeof thrown, message: "not an Error; withheld" };
  const code: unknown = "code" in thrown ? thrown.code : undefined;
  const quotesInput = thrown instanceof SyntaxError;
  return {
    type: thrown.name,
    message: quotesInput ? "withheld: it quotes the text that could not be parsed" : thrown.message,
    ...(typeof code === "string" ? { code } : {}),
    ...(quotesInput || thrown.stack === undefined ? {} : { stack: thrown.stack }),
    ...(thrown.cause === undefined || depth >= maxCauses
      ? {}
      : { cause: describeError(thrown.cause, depth + 1) }),
  };
}
