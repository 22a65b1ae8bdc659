/** The rules of fault injection: what can go wrong, for which requests, how often. Strictly checked. */
import { z } from "zod";
import { simulatorLimits } from "./limits.ts";

const operations = [
  "Sample",
  "SampleWithResponseStream",
  "CompleteRollout",
  "UpdateReward",
] as const;

/** What every rule may say about when it holds. */
const when = {
  /** Default: every operation the kind makes sense for. */
  operations: z.array(z.enum(operations)).min(1).optional(),
  /** A trajectory id; `*` stands for any characters, `?` for one. Default: all. */
  trajectory: z.string().min(1).optional(),
  /** A job ARN, the same way. */
  job: z.string().min(1).optional(),
  /** How likely it is for a request that matches; from a seeded generator, so runs repeat. Default 1. */
  probability: z.number().min(0).max(1).optional(),
  /** After this many injections the rule is spent. Default: never. */
  times: z.int().min(1).optional(),
  /** The first requests that match are let through. Default 0. */
  after: z.int().min(0).optional(),
};

const durationMs = z.number().min(0).max(86_400_000);
const message = z.string().min(1).optional();
/** Index of a unit of the response stream, from 0: a frame, or an SSE event where there are no frames. */
const event = z.int().min(0);

const rule = <Kind extends string, Shape extends z.core.$ZodLooseShape>(kind: Kind, shape: Shape) =>
  z.strictObject({ kind: z.literal(kind), ...when, ...shape });

/** Answers instead of the operation. Nothing is captured. */
const answerRules = [
  /** 429 ThrottlingException. */
  rule("throttle", { message, retryAfterSeconds: z.number().min(0).optional() }),
  /** 500 InternalServiceError. */
  rule("internal-error", { message }),
  /** 503 ServiceUnavailable; `html: true`: as a load balancer says it, without error type or JSON. */
  rule("unavailable", {
    message,
    retryAfterSeconds: z.number().min(0).optional(),
    html: z.boolean().optional(),
  }),
  rule("access-denied", { message }),
  rule("expired-token", { message }),
  /** 402 ServiceQuotaExceededException. */
  rule("quota", { message }),
  rule("validation", { message }),
  rule("not-found", { message }),
  /** 409; only the lifecycle operations have it. */
  rule("conflict", { message }),
] as const;

const timingRules = [
  /** Waits before the response's headers, like a slow model; `captured: true` waits after the capture instead. */
  rule("delay-headers", { ms: durationMs, captured: z.boolean().optional() }),
  /** Waits between the headers and the first unit of a stream. */
  rule("delay-first-frame", { ms: durationMs }),
] as const;

const connectionRules = [
  /** The connection is reset; nothing was captured and nothing took effect. */
  rule("reset-before-capture", {}),
  /** The turn was captured or the lifecycle call took effect; then the connection is reset, before any header. */
  rule("reset-after-capture", {}),
  /** The connection is reset after this many bytes of the response's body. */
  rule("reset-at-byte", { byte: z.int().min(0) }),
] as const;

const streamRules = [
  /** An exception frame in place of unit `event`, then the end. */
  rule("exception-frame", {
    event,
    /** Default `ModelStreamError`; also e.g. `InternalStreamFailure`, `ThrottlingException`. */
    exception: z.string().min(1).optional(),
    message,
  }),
  /** A frame with `:message-type: error` in place of unit `event`, then the end. */
  rule("error-frame", { event, code: z.string().min(1).optional(), message }),
  /** Unit `event` with a wrong checksum; the stream goes on behind it. */
  rule("corrupt-crc", { event, part: z.enum(["prelude", "message"]).optional() }),
  /** Only the first `bytes` of unit `event` (default: half), then a proper end of the body or a reset. */
  rule("truncate-frame", {
    event,
    bytes: z.int().min(0).optional(),
    ending: z.enum(["end", "reset"]).optional(),
  }),
  /** A frame that declares `declaredBytes` (default 0x7fffffff), in place of unit `event`; then silence. */
  rule("oversize-frame", { event, declaredBytes: z.int().min(0).max(0xffffffff).optional() }),
  /** Ends properly before unit `event`; without it, only `[DONE]` is left out. */
  rule("end-early", { event: event.optional() }),
  /** In place of `[DONE]`, a content chunk every `intervalMs` (default 50) until the client leaves. */
  rule("never-ending", { intervalMs: durationMs.optional() }),
  /** Silence in place of unit `event`, until the client leaves. */
  rule("stall", { event }),
] as const;

const clockRules = [
  /** The service's clock is off by `ms`: its Date header, and what it takes for skew. */
  rule("clock-skew", { ms: z.number() }),
] as const;

const ruleSchema = z.discriminatedUnion("kind", [
  ...answerRules,
  ...timingRules,
  ...connectionRules,
  ...streamRules,
  ...clockRules,
]);

export type FaultRule = z.input<typeof ruleSchema>;
export type FaultKind = FaultRule["kind"];
/** The rule of one kind. */
export type FaultOf<Kind extends FaultKind> = Extract<FaultRule, { kind: Kind }>;

const literalKinds = (
  rules: readonly { readonly shape: { readonly kind: { readonly value: FaultKind } } }[],
): ReadonlySet<FaultKind> => new Set(rules.map((each) => each.shape.kind.value));

/** Kinds that answer instead of the operation: one of them is enough for a request. */
export const answerKinds = literalKinds(answerRules);
/** Kinds that leave a stream damaged. */
export const damagingKinds = literalKinds(streamRules);
/** Kinds that only make sense for SampleWithResponseStream. */
export const streamKinds = new Set<FaultKind>([...damagingKinds, "delay-first-frame"]);

/** Checks a list of rules; throws an error that says everything wrong with it. */
export function checkFaultRules(rules: unknown): readonly FaultRule[] {
  const result = z.array(ruleSchema).max(simulatorLimits.maxFaultRules).safeParse(rules);
  if (result.success) return result.data;
  throw new Error(`Not a list of fault rules:\n${z.prettifyError(result.error)}`, {
    cause: result.error,
  });
}
