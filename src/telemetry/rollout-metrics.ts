/** What is counted beside the turns: auxiliary calls, and the rollouts of the ingress. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { AgentOutcome } from "../rollouts/rollout-notes.ts";

export type AuxiliaryOutcome = "answered" | "failed" | "client_left";
export type IngressOutcome = AgentOutcome | "refused";

export interface RolloutMetrics {
  auxiliaryCalled(outcome: AuxiliaryOutcome): void;
  /** An agent that the ingress ran has ended, or a rollout request found no room. */
  ingressEnded(outcome: IngressOutcome): void;
  /** Asked when scraped. */
  ingressGauges(read: () => { readonly running: number; readonly queued: number }): void;
}

export function rolloutMetrics(registry: Registry): RolloutMetrics {
  const auxiliary = new Counter({
    name: "turnpike_auxiliary_calls_total",
    help: "Calls forwarded to an auxiliary model; they are no turns.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  for (const outcome of ["answered", "failed", "client_left"]) auxiliary.labels(outcome).inc(0);
  const ingress = new Counter({
    name: "turnpike_ingress_rollouts_total",
    help: "Rollout requests of the ingress, by how their agent ended.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  return {
    auxiliaryCalled: (outcome) => auxiliary.inc({ outcome }),
    ingressEnded: (outcome) => ingress.inc({ outcome }),
    ingressGauges(read) {
      for (const state of ["running", "queued"] as const) {
        new Gauge({
          name: `turnpike_ingress_${state}`,
          help: `Rollouts of the ingress that are ${state}.`,
          registers: [registry],
          collect() {
            this.set(read()[state]);
          },
        });
      }
    },
  };
}
