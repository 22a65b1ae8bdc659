/** A pod's QoS class, as Kubernetes derives it (pkg/apis/core/v1/helper/qos): all containers count, sidecars too. */
import type { Resource } from "./chart.ts";

export type QualityOfService = "Guaranteed" | "Burstable" | "BestEffort";

interface Resources {
  readonly requests?: Readonly<Record<string, string | number>>;
  readonly limits?: Readonly<Record<string, string | number>>;
}

export function qualityOfService(pod: Resource): QualityOfService {
  const containers = [...(pod["spec"].initContainers ?? []), ...pod["spec"].containers];
  const all: Resources[] = containers.map(({ resources }) => resources ?? {});
  if (all.every(({ requests, limits }) => requests === undefined && limits === undefined)) {
    return "BestEffort";
  }
  return all.every(isFixed) ? "Guaranteed" : "Burstable";
}

/** CPU and memory limited, and requested as much as that (or not said, which means the same). */
function isFixed({ requests, limits }: Resources): boolean {
  return ["cpu", "memory"].every((name) => {
    const limit = limits?.[name];
    return limit !== undefined && (requests?.[name] ?? limit) === limit;
  });
}
