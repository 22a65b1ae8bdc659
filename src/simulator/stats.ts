/** Counts of what happened, kept from the events, and the disconnects in full. */
import type { DisconnectWindow, EventLog, SimulatorEvent } from "./events.ts";
import type { Operation } from "./members.ts";
import type { ServiceErrorType } from "./service-error.ts";
import type { Trajectories } from "./trajectories.ts";

/** A client that left before the end of its response. */
export type ClientDisconnect = Extract<SimulatorEvent, { type: "client-left" }>;

export interface SimulatorStats {
  /** Requests that came whole, by operation. */
  readonly requests: Readonly<Partial<Record<Operation, number>>>;
  /** Requests under way. */
  readonly openRequests: number;
  /** Errors answered, by type, injected ones included. */
  readonly errors: Readonly<Partial<Record<ServiceErrorType, number>>>;
  /** Faults injected, by kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** Turns captured, also those no longer in memory. */
  readonly turns: number;
  /** Trajectories in memory. */
  readonly trajectories: number;
  readonly disconnects: {
    readonly total: number;
    readonly byWindow: Readonly<Partial<Record<DisconnectWindow, number>>>;
    /** The latest ones, with their times. */
    readonly latest: readonly ClientDisconnect[];
  };
}

export interface Stats {
  snapshot(): SimulatorStats;
  countError(type: ServiceErrorType): void;
  clear(): void;
}

export function createStats(events: EventLog, trajectories: Trajectories): Stats {
  const requests = new Counter<Operation>();
  const errors = new Counter<ServiceErrorType>();
  const faults = new Counter<string>();
  const windows = new Counter<DisconnectWindow>();
  let latest: ClientDisconnect[] = [];
  const open = new Set<string>();
  let turns = 0;
  events.subscribe((event) => {
    if (event.type === "request-received") {
      requests.add(event.operation);
      open.add(event.requestId);
    }
    if (event.type === "finished") open.delete(event.requestId);
    if (event.type === "fault-injected") faults.add(event.fault);
    if (event.type === "captured" && event.operation.startsWith("Sample")) turns += 1;
    if (event.type === "client-left") {
      windows.add(event.window);
      latest.push(event);
      if (latest.length > 2000) latest = latest.slice(-1000);
    }
  });
  return {
    snapshot: () => ({
      requests: requests.all(),
      openRequests: open.size,
      errors: errors.all(),
      faults: faults.all(),
      turns,
      trajectories: trajectories.size,
      disconnects: { total: windows.total(), byWindow: windows.all(), latest: [...latest] },
    }),
    countError: (type) => errors.add(type),
    clear: () => {
      for (const counter of [requests, errors, faults, windows]) counter.clear();
      latest = [];
      turns = 0;
    },
  };
}

class Counter<Name extends string> {
  readonly #counts = new Map<Name, number>();

  add(name: Name): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  all(): Record<Name, number> {
    return Object.fromEntries(this.#counts) as Record<Name, number>;
  }

  total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  clear(): void {
    this.#counts.clear();
  }
}
