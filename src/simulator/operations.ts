/**
 * The four operations, from a request that came whole to its response: skew → signature → members →
 * faults → effect → answer. When a turn counts as captured: the request was accepted and the model has
 * answered (for a stream: begun to); the response's headers follow. A client that left before that has no
 * turn, one that leaves after has one [inferred].
 */
import type { IncomingMessage } from "node:http";
import type { WireRequest } from "./canonical-request.ts";
import { ConnectionCut, type Exchange } from "./exchange.ts";
import { answerFault } from "./fault-answers.ts";
import type { FaultPlan, Faults } from "./faults.ts";
import {
  apparentKey,
  type CompleteRolloutInput,
  completeRolloutInput,
  type SampleOperation,
  sampleBody,
  sampleKey,
  type UpdateRewardInput,
  updateRewardInput,
} from "./members.ts";
import type { Model, ModelAnswer } from "./models/model.ts";
import { writeStream } from "./stream-response.ts";
import type { Trajectories } from "./trajectories.ts";
import type { TurnRecord } from "./turns.ts";
import type { VerifySignature } from "./verify-signature.ts";
import type { Wire } from "./wire.ts";

export interface StreamOptions {
  /** Default `eventstream`. */
  readonly wire?: Wire;
  /** 0 (the default): one SSE event per frame; n: payload slices of n bytes. */
  readonly sliceBytes?: number;
  /** Pause before each event of a stream. Default 0. */
  readonly eventDelayMs?: number;
}

export interface OperationsOptions {
  readonly clock: () => number;
  readonly verify: VerifySignature;
  readonly faults: Faults;
  readonly trajectories: Trajectories;
  readonly model: Model;
  readonly stream: Required<StreamOptions>;
  /** Called once with each turn when its response has ended. */
  readonly turnFinished: (turn: TurnRecord) => void;
}

/** Answers one exchange whose body was read. Throws a ServiceError to be answered, or a ConnectionCut. */
export async function runOperation(exchange: Exchange, options: OperationsOptions): Promise<void> {
  exchange.key = apparentKey(exchange.request.headers, exchange.body);
  exchange.record({ type: "request-received" });
  const skew = options.faults.takeClockSkew({ ...exchange.key, operation: exchange.operation });
  const skewMs = skew.get("clock-skew")?.ms;
  if (skewMs !== undefined) {
    exchange.skewMs = skewMs;
    exchange.noteFault("clock-skew");
  }
  options.verify(wireRequest(exchange.request), exchange.body, options.clock() + exchange.skewMs);
  switch (exchange.operation) {
    case "Sample":
    case "SampleWithResponseStream":
      return await sample(exchange, exchange.operation, options);
    case "CompleteRollout": {
      const input = completeRolloutInput(exchange.request.headers, exchange.body);
      return await lifecycle(exchange, options, {
        input,
        apply: () => options.trajectories.complete(input),
      });
    }
    case "UpdateReward": {
      const input = updateRewardInput(exchange.request.headers, exchange.body);
      return await lifecycle(exchange, options, {
        input,
        apply: () => options.trajectories.reward(input),
      });
    }
  }
}

async function sample(
  exchange: Exchange,
  operation: SampleOperation,
  options: OperationsOptions,
): Promise<void> {
  exchange.key = sampleKey(exchange.request.headers);
  const request = sampleBody(exchange.body);
  const plan = await faultsBeforeCapture(exchange, options);
  const isStream = operation === "SampleWithResponseStream" && options.stream.wire !== "json";
  const answer = await options.model.answer({
    body: exchange.body,
    request,
    stream: isStream,
    turn: options.trajectories.admitTurn(exchange.key) + 1,
    signal: exchange.signal,
  });
  exchange.signal.throwIfAborted();
  const turn = captureTurn(exchange, operation, { answer, options });
  try {
    await faultsAfterCapture(exchange, plan);
    turn.outcome =
      answer.kind === "whole"
        ? await writeBody(exchange, answer.contentType, answer.body)
        : await writeStream(exchange, turn, { answer, plan, ...options });
  } catch (error) {
    turn.outcome = error instanceof ConnectionCut ? outcomeOfCut[error.reason] : "model-failed";
    throw error;
  } finally {
    turn.clientLeft = exchange.clientLeft;
    turn.faults = [...exchange.injected];
    turn.firstByteAt = exchange.firstByteAt;
    turn.finishedAt = options.clock();
    options.trajectories.finish(turn);
    options.turnFinished(turn);
  }
}

async function lifecycle(
  exchange: Exchange,
  options: OperationsOptions,
  call: { readonly input: CompleteRolloutInput | UpdateRewardInput; readonly apply: () => void },
): Promise<void> {
  exchange.key = call.input;
  const plan = await faultsBeforeCapture(exchange, options);
  call.apply();
  exchange.record({ type: "captured" });
  await faultsAfterCapture(exchange, plan);
  await writeBody(exchange, "application/json", Buffer.from("{}"));
}

async function faultsBeforeCapture(
  exchange: Exchange,
  options: OperationsOptions,
): Promise<FaultPlan> {
  const plan = options.faults.take({ ...exchange.key, operation: exchange.operation });
  exchange.resetAtByte = plan.get("reset-at-byte")?.byte ?? Number.POSITIVE_INFINITY;
  if (plan.get("reset-before-capture") !== undefined) {
    exchange.noteFault("reset-before-capture");
    await exchange.reset();
  }
  const delay = plan.get("delay-headers");
  if (delay !== undefined && delay.captured !== true) {
    exchange.noteFault("delay-headers");
    await exchange.wait(delay.ms);
  }
  if (plan.answer !== undefined) await answerFault(exchange, plan.answer);
  return plan;
}

async function faultsAfterCapture(exchange: Exchange, plan: FaultPlan): Promise<void> {
  if (plan.get("reset-after-capture") !== undefined) {
    exchange.noteFault("reset-after-capture");
    await exchange.reset();
  }
  const delay = plan.get("delay-headers");
  if (delay?.captured === true) {
    exchange.noteFault("delay-headers");
    await exchange.wait(delay.ms);
  }
}

function captureTurn(
  exchange: Exchange,
  operation: SampleOperation,
  { answer, options }: { readonly answer: ModelAnswer; readonly options: OperationsOptions },
): TurnRecord {
  const turn = options.trajectories.capture({
    jobArn: exchange.key.jobArn,
    trajectoryId: exchange.key.trajectoryId,
    operation,
    requestId: exchange.requestId,
    receivedAt: exchange.receivedAt,
    firstByteAt: null,
    finishedAt: null,
    outcome: "open",
    clientLeft: null,
    faults: [],
    requestHeaders: headersOfInterest(exchange.request),
    status: 200,
    contentType: answer.contentType,
    requestBody: exchange.body,
    responseParts: answer.kind === "whole" ? [answer.body] : [],
  });
  exchange.record({ type: "captured" });
  return turn;
}

async function writeBody(
  exchange: Exchange,
  contentType: string,
  body: Uint8Array,
): Promise<"complete"> {
  exchange.begin(200, { "content-type": contentType, "content-length": body.length });
  await exchange.write(body);
  await exchange.end();
  return "complete";
}

/** Everything but what proves who sent it: the export must hold no credentials. */
function headersOfInterest(request: IncomingMessage): Record<string, string> {
  const secret = new Set(["authorization", "x-amz-security-token", "cookie"]);
  return Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) =>
      secret.has(name) || value === undefined ? [] : [[name, String(value)]],
    ),
  );
}

function wireRequest(request: IncomingMessage): WireRequest {
  const [path = "", query = ""] = (request.url ?? "").split(/\?(.*)/su);
  const headers: [string, string][] = [];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    headers.push([request.rawHeaders[index] ?? "", request.rawHeaders[index + 1] ?? ""]);
  }
  return { method: request.method ?? "", path, query, headers };
}

const outcomeOfCut = { "client-left": "client-left", fault: "fault", closing: "closed" } as const;
