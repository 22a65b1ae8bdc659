/** The response of SampleWithResponseStream: model events → captured → faults → units → socket. */
import { ConnectionCut, type Exchange } from "./exchange.ts";
import { damagingKinds } from "./fault-rules.ts";
import type { FaultPlan } from "./faults.ts";
import type { ModelAnswer } from "./models/model.ts";
import { modelStreamError, type UnitAction, unitAction, withEventFaults } from "./stream-faults.ts";
import type { Trajectories } from "./trajectories.ts";
import type { TurnOutcome, TurnRecord } from "./turns.ts";
import { isFramed, streamContentType, type Wire, wireUnits } from "./wire.ts";

export interface StreamResponse {
  readonly answer: Extract<ModelAnswer, { kind: "stream" }>;
  readonly plan: FaultPlan;
  readonly trajectories: Trajectories;
  readonly stream: {
    readonly wire: Wire;
    readonly sliceBytes: number;
    readonly eventDelayMs: number;
  };
}

/** Writes the stream to its end, whatever that is, and says which; throws a ConnectionCut when the connection ended first. */
export async function writeStream(
  exchange: Exchange,
  turn: TurnRecord,
  response: StreamResponse,
): Promise<TurnOutcome> {
  const { plan, stream } = response;
  exchange.begin(200, { "content-type": streamContentType(stream.wire) });
  const delay = plan.get("delay-first-frame");
  if (delay !== undefined) {
    exchange.noteFault("delay-first-frame");
    await exchange.wait(delay.ms);
  }
  try {
    await writeUnits(exchange, turn, response);
  } catch (error) {
    if (error instanceof ConnectionCut) throw error;
    await perform(exchange, { bytes: modelStreamError(isFramed(stream.wire)), next: "end" });
    return "model-failed";
  }
  const isDamaged = exchange.injected.some((kind) => damagingKinds.has(kind));
  return isDamaged ? "fault" : "complete";
}

async function writeUnits(
  exchange: Exchange,
  turn: TurnRecord,
  response: StreamResponse,
): Promise<void> {
  const { plan, stream } = response;
  const framed = isFramed(stream.wire);
  const events = withEventFaults(capturedEvents(exchange, turn, response), {
    plan,
    wait: (ms) => exchange.wait(ms),
    noteFault: (kind) => exchange.noteFault(kind),
  });
  let index = 0;
  for await (const unit of wireUnits(events, stream)) {
    const action = unitAction(plan, index, { unit, isFramed: framed });
    if ((await perform(exchange, action)) === "end") return;
    index += 1;
  }
  // A fault for the unit behind the last one still happens, in place of the end.
  const action = unitAction(plan, index, { unit: undefined, isFramed: framed });
  await perform(exchange, action.fault === undefined ? { ...action, next: "end" } : action);
}

/** Writes one unit, or what a fault puts in its place. Answers `end` when the response was ended. */
async function perform(exchange: Exchange, action: UnitAction): Promise<"continue" | "end"> {
  if (action.fault !== undefined) exchange.noteFault(action.fault);
  await exchange.write(action.bytes);
  switch (action.next) {
    case "continue":
      return "continue";
    case "end":
      await exchange.end();
      return "end";
    case "reset":
      return await exchange.reset();
    case "stall":
      return await exchange.waitForEver();
  }
}

/** The model's events, each captured as it comes, at the pace asked for. */
async function* capturedEvents(
  exchange: Exchange,
  turn: TurnRecord,
  { answer, trajectories, stream }: StreamResponse,
): AsyncGenerator<Uint8Array> {
  for await (const event of answer.events) {
    await exchange.wait(stream.eventDelayMs);
    trajectories.appendResponse(turn, event);
    yield event;
  }
}
