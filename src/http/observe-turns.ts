/** Ledger, metrics and log, as the corridor's one observer. */
import type { Logger } from "pino";
import type { Ledger } from "../rollouts/ledger.ts";
import type { TurnEnd, TurnStart } from "../rollouts/turn.ts";
import { logTurn } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { TurnObserver } from "./chat-completions.ts";
import type { ObservedTurn } from "./turn.ts";

export interface Observers {
  readonly ledger: Ledger;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export function observeTurns({ ledger, metrics, log }: Observers): TurnObserver {
  return {
    begin(start: TurnStart): ObservedTurn {
      const turn = ledger.beginTurn(start);
      metrics.turnStarted(start);
      return {
        number: turn.number,
        end(end: TurnEnd): void {
          ledger.endTurn(turn, end);
          metrics.turnEnded(start, end);
          logTurn(log, turn, end);
        },
      };
    },
    joined({ jobArn, trajectoryId }) {
      metrics.retryJoined();
      log.info(
        { event: "retry-joined", job_arn: jobArn, trajectory_id: trajectoryId },
        "a client's retry got the answer of its first call",
      );
    },
  };
}
