/** What a fault does to a stream: to the model's events before they are units, and to the units themselves. */
import type { FaultKind } from "./fault-rules.ts";
import type { FaultPlan } from "./faults.ts";
import { errorFrame, exceptionFrame, oversizeFrame, withCorruptCrc } from "./frames.ts";
import { isDone } from "./wire.ts";

/** What to do in place of writing one unit, and what then. */
export interface UnitAction {
  readonly bytes: Uint8Array;
  readonly next: "continue" | "end" | "reset" | "stall";
  /** The kind of fault, when there is one. */
  readonly fault?: FaultKind;
}

const nothing = new Uint8Array();

/** What to do with the unit at `index`. `isFramed`: on a wire without frames, frame errors take SSE's shape or do not happen. */
export function unitAction(
  plan: FaultPlan,
  index: number,
  { unit, isFramed }: { readonly unit: Uint8Array | undefined; readonly isFramed: boolean },
): UnitAction {
  return (
    errorAction(plan, index, isFramed) ??
    brokenAction(plan, index, { unit, isFramed }) ??
    silenceAction(plan, index) ?? { bytes: unit ?? nothing, next: "continue" }
  );
}

function errorAction(plan: FaultPlan, index: number, isFramed: boolean): UnitAction | undefined {
  const exception = plan.get("exception-frame");
  if (exception?.event === index) {
    const type = exception.exception ?? "ModelStreamError";
    const message = exception.message ?? "The model failed while it was answering.";
    const bytes = isFramed ? exceptionFrame(type, message) : sseError(type, message);
    return { bytes, next: "end", fault: "exception-frame" };
  }
  const error = plan.get("error-frame");
  if (error?.event !== index) return;
  const code = error.code ?? "InternalError";
  const message = error.message ?? "An internal server error occurred.";
  const bytes = isFramed ? errorFrame(code, message) : sseError(code, message);
  return { bytes, next: "end", fault: "error-frame" };
}

function brokenAction(
  plan: FaultPlan,
  index: number,
  { unit, isFramed }: { readonly unit: Uint8Array | undefined; readonly isFramed: boolean },
): UnitAction | undefined {
  const corrupt = plan.get("corrupt-crc");
  if (corrupt?.event === index && isFramed && unit !== undefined) {
    const bytes = withCorruptCrc(unit, corrupt.part ?? "message");
    return { bytes, next: "continue", fault: "corrupt-crc" };
  }
  const truncate = plan.get("truncate-frame");
  if (truncate?.event === index && unit !== undefined) {
    const kept = Math.min(truncate.bytes ?? Math.floor(unit.length / 2), unit.length - 1);
    return {
      bytes: unit.subarray(0, kept),
      next: truncate.ending ?? "end",
      fault: "truncate-frame",
    };
  }
  const oversize = plan.get("oversize-frame");
  if (oversize?.event !== index || !isFramed) return;
  const bytes = oversizeFrame(oversize.declaredBytes ?? 0x7fffffff);
  return { bytes, next: "stall", fault: "oversize-frame" };
}

function silenceAction(plan: FaultPlan, index: number): UnitAction | undefined {
  if (plan.get("stall")?.event === index) return { bytes: nothing, next: "stall", fault: "stall" };
  if (plan.get("end-early")?.event === index) {
    return { bytes: nothing, next: "end", fault: "end-early" };
  }
  return undefined;
}

export interface EventFaultOptions {
  readonly plan: FaultPlan;
  readonly wait: (ms: number) => Promise<void>;
  readonly noteFault: (kind: FaultKind) => void;
}

/** The events with their end changed: without `[DONE]`, or never coming to one. */
export async function* withEventFaults(
  events: AsyncIterable<Uint8Array>,
  { plan, wait, noteFault }: EventFaultOptions,
): AsyncGenerator<Uint8Array> {
  const endEarly = plan.get("end-early");
  const neverEnding = plan.get("never-ending");
  for await (const event of events) {
    if (!isDone(event)) yield event;
    else if (neverEnding !== undefined) {
      noteFault("never-ending");
      for (;;) {
        await wait(Math.max(neverEnding.intervalMs ?? 50, 1));
        yield endlessEvent;
      }
    } else if (endEarly !== undefined && endEarly.event === undefined) noteFault("end-early");
    else yield event;
  }
}

const endlessEvent = Buffer.from(
  `data: ${JSON.stringify({
    id: "chatcmpl-never-ending",
    object: "chat.completion.chunk",
    created: 0,
    model: "never-ending",
    choices: [{ index: 0, delta: { content: "and " }, logprobs: null, finish_reason: null }],
  })}\n\n`,
);

/** The error that ends a stream whose model broke off. */
export function modelStreamError(isFramed: boolean): Uint8Array {
  const text = "The model broke off its answer.";
  return isFramed ? exceptionFrame("ModelStreamError", text) : sseError("ModelStreamError", text);
}

/** An error inside an SSE stream, as OpenAI-compatible model servers put it. */
function sseError(code: string, message: string): Buffer<ArrayBuffer> {
  return Buffer.from(`data: ${JSON.stringify({ error: { message, type: code, code } })}\n\n`);
}
