/** What the service captured against what the agents did and what the ledger says of it. */
import { markerOf, type RolloutRecord } from "./agents.ts";

export interface Audit {
  /** Logical turns the agents made. */
  readonly turns: number;
  readonly answered: number;
  /** … those of them the service never captured: an answer out of nowhere. */
  readonly answeredNotCaptured: number;
  readonly captured: number;
  /** Captures beyond the first of a logical turn. */
  readonly duplicates: number;
  /** … those of them the ledger had not flagged. */
  readonly unflagged: number;
  /** What the ledger flagged, rightly or to be safe. */
  readonly flagged: number;
  readonly acknowledged: number;
  readonly delivered: number;
  readonly lost: number;
  readonly altered: number;
  /** Rewards that took effect more than once. */
  readonly repeated: number;
  readonly wrongStatus: number;
  readonly surprises: readonly string[];
}

/** A trajectory as GET /_simulator/trajectories has it. */
interface Trajectory {
  readonly trajectoryId: string;
  readonly state: string;
  readonly rewards: readonly number[] | null;
  readonly lifecycle: readonly { readonly operation: string; readonly applied: boolean }[];
}

/** A turn as GET /_simulator/turns.jsonl has it. */
interface Turn {
  readonly trajectoryId: string;
  readonly request: { readonly body: { readonly text?: string } };
}

interface Account {
  readonly id: string;
  readonly turns: { readonly possible_duplicates: number };
}

export interface Places {
  readonly simulatorUrl: string;
  readonly gatewayUrl: string;
}

export async function audit(records: readonly RolloutRecord[], places: Places): Promise<Audit> {
  const captures = await countCaptures(places);
  const trajectories = new Map(
    (await getJson<Trajectory[]>(`${places.simulatorUrl}/_simulator/trajectories`)).map(
      (trajectory) => [trajectory.trajectoryId, trajectory],
    ),
  );
  const each = await Promise.all(
    records.map(async (record) => {
      const { id } = record.plan;
      const account = await getJson<Account>(
        `${places.gatewayUrl}/rollouts/${encodeURIComponent(id)}`,
      ).catch(() => undefined);
      const flagged = account?.turns.possible_duplicates ?? 0;
      return {
        ...auditTurns(record, captures, flagged),
        ...auditReward(record, trajectories.get(id)),
      };
    }),
  );
  const sum = (of: (one: (typeof each)[number]) => number): number =>
    each.reduce((total, one) => total + of(one), 0);
  return {
    turns: sum((one) => one.turns),
    answered: sum((one) => one.answered),
    answeredNotCaptured: sum((one) => one.answeredNotCaptured),
    captured: [...captures.values()].reduce((total, count) => total + count, 0),
    duplicates: sum((one) => one.duplicates),
    unflagged: sum((one) => Math.max(0, one.duplicates - one.flagged)),
    flagged: sum((one) => one.flagged),
    acknowledged: sum((one) => Number(one.acknowledged)),
    delivered: sum((one) => Number(one.delivered)),
    lost: sum((one) => Number(one.lost)),
    altered: sum((one) => Number(one.altered)),
    repeated: sum((one) => Number(one.repeated)),
    wrongStatus: sum((one) => Number(one.wrongStatus)),
    surprises: records.flatMap(({ plan, surprises }) =>
      surprises.map((one) => `${plan.id} ${one}`),
    ),
  };
}

function auditTurns(
  { plan, answered }: RolloutRecord,
  captures: ReadonlyMap<string, number>,
  flagged: number,
) {
  const markers = Array.from({ length: plan.turns }, (_, at) => markerOf(plan.id, at + 1));
  const repeats = markers.map((marker) => Math.max(0, (captures.get(marker) ?? 0) - 1));
  return {
    turns: plan.turns,
    answered: answered.length,
    answeredNotCaptured: answered.filter((marker) => !captures.has(marker)).length,
    duplicates: repeats.reduce((total, count) => total + count, 0),
    flagged,
  };
}

function auditReward({ plan, acknowledged }: RolloutRecord, trajectory: Trajectory | undefined) {
  const rewards = trajectory?.rewards ?? null;
  const isRight = rewards?.length === 1 && rewards[0] === plan.reward;
  const applied = trajectory?.lifecycle.filter(
    (call) => call.operation === "UpdateReward" && call.applied,
  );
  const sealed = plan.status === "failed" ? "FAILED" : "REWARD_RECEIVED";
  return {
    acknowledged,
    delivered: acknowledged && isRight,
    lost: acknowledged && rewards === null,
    altered: rewards !== null && !isRight,
    repeated: (applied?.length ?? 0) > 1,
    wrongStatus: acknowledged && trajectory?.state !== sealed,
  };
}

/** By marker. */
async function countCaptures({ simulatorUrl }: Places): Promise<Map<string, number>> {
  const text = await (await fetch(`${simulatorUrl}/_simulator/turns.jsonl`)).text();
  const captures = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const turn = JSON.parse(line) as Turn;
    const marker = /<turn [^>]+>/.exec(turn.request.body.text ?? "")?.[0];
    if (marker === undefined)
      throw new Error(`A captured turn has no marker: ${line.slice(0, 500)}`);
    captures.set(marker, (captures.get(marker) ?? 0) + 1);
  }
  return captures;
}

export async function getJson<Value>(url: string): Promise<Value> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return (await response.json()) as Value;
}
