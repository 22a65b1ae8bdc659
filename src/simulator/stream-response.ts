/** The response of SampleWithResponseStream: model events → captured → faults → units → socket. */
import type { Exchange } from "./exchange.ts";
import type { FaultPlan } from "./faults.ts";
import type { ModelAnswer } from "./models/model.ts";
import { type UnitAction, unitAction, withEventFaults } from "./stream-faults.ts";
import type { Trajectories } from "./trajectories.ts";
import type { TurnRecord } from "./turns.ts";
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

/** Writes the stream to its end, whatever that is; throws a ConnectionCut when it is not a proper one. */
export async function writeStream(
  exchange: Exchange,
  turn: TurnRecord,
  response: StreamResponse,
): Promise<void> {
  const { plan, stream } = response;
  exchange.begin(200, { "content-type": streamContentType(stream.wire) });
  const delay = plan.get("delay-first-frame");
  if (delay !== undefined) {
    exchange.noteFault("delay-first-frame");
    await exchange.wait(delay.ms);
  }
  const events = withEventFaults(capturedEvents(exchange, turn, response), {
    plan,
    wait: (ms) => exchange.wait(ms),
    noteFault: (kind) => exchange.noteFault(kind),
  });
  let index = 0;
  for await (const unit of wireUnits(events, stream)) {
    const action = unitAction(plan, index, { unit, isFramed: isFramed(stream.wire) });
    if ((await perform(exchange, action)) === "end") return;
    index += 1;
  }
  // A fault that names the unit behind the last one still happens: there the stream would have ended.
  const empty = { unit: new Uint8Array(), isFramed: isFramed(stream.wire) };
  const action = unitAction(plan, index, empty);
  if (action.fault === undefined || (await perform(exchange, action)) !== "end") exchange.end();
}

/** Writes one unit, or what a fault puts in its place. Answers `end` when the response was ended. */
async function perform(exchange: Exchange, action: UnitAction): Promise<"continue" | "end"> {
  if (action.fault !== undefined) exchange.noteFault(action.fault);
  await exchange.write(action.bytes);
  switch (action.next) {
    case "continue":
      return "continue";
    case "end":
      exchange.end();
      return "end";
    case "reset":
      return exchange.reset();
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
