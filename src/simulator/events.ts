/** What happened inside the simulator, in order, for tests and for `stats`. */
import { simulatorLimits } from "./limits.ts";
import type { Operation } from "./members.ts";

/**
 * Where a response stood when the client left. `request-body`: before the request was whole;
 * `non-streaming`: any time before the end of an answer that is not a stream; the others are about
 * SampleWithResponseStream: before its headers, between them and the first byte of its body, after it.
 */
export type DisconnectWindow =
  | "request-body"
  | "non-streaming"
  | "before-headers"
  | "before-first-frame"
  | "mid-stream";

/** What every event says. `at` is the simulator's clock, `monotonicMs` is `performance.now()`. */
interface EventBase {
  readonly at: number;
  readonly monotonicMs: number;
  readonly requestId: string;
  readonly operation: Operation;
  readonly jobArn: string;
  readonly trajectoryId: string;
}

export type SimulatorEventDetail =
  /** A request came whole; nothing was checked yet. */
  | { readonly type: "request-received" }
  /** A turn was captured, or a lifecycle call took effect. */
  | { readonly type: "captured" }
  | { readonly type: "headers-sent"; readonly status: number }
  | { readonly type: "first-byte-sent" }
  | { readonly type: "fault-injected"; readonly fault: string }
  | {
      readonly type: "client-left";
      readonly window: DisconnectWindow;
      readonly bodyBytesSent: number;
    }
  /** The response ended, or its connection did, and all about it was written down. */
  | { readonly type: "finished"; readonly status: number | null };

export type SimulatorEvent = EventBase & SimulatorEventDetail;
export type SimulatorEventType = SimulatorEvent["type"];

type EventOfType<Type extends SimulatorEventType> = Extract<SimulatorEvent, { type: Type }>;

interface Waiter {
  readonly matches: (event: SimulatorEvent) => boolean;
  readonly resolve: (event: SimulatorEvent) => void;
  readonly reject: (error: Error) => void;
}

/** The events in order, the newest `maxEvents` kept. */
export class EventLog {
  #events: SimulatorEvent[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #listeners = new Set<(event: SimulatorEvent) => void>();

  record(event: SimulatorEvent): void {
    this.#events.push(event);
    if (this.#events.length > simulatorLimits.maxEvents * 2) {
      this.#events = this.#events.slice(-simulatorLimits.maxEvents);
    }
    for (const listener of this.#listeners) listener(event);
    for (const waiter of this.#waiters) {
      if (waiter.matches(event)) {
        this.#waiters.delete(waiter);
        waiter.resolve(event);
      }
    }
  }

  events(): readonly SimulatorEvent[] {
    return this.#events;
  }

  /** The first event since the last reset that matches, now or when it comes; rejects on close or reset. */
  waitFor<Type extends SimulatorEventType>(
    type: Type,
    where: (event: EventOfType<Type>) => boolean = () => true,
  ): Promise<EventOfType<Type>> {
    const isOfType = (event: SimulatorEvent): event is EventOfType<Type> => event.type === type;
    const past = this.#events.find(
      (event): event is EventOfType<Type> => isOfType(event) && where(event),
    );
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve, reject) => {
      this.#waiters.add({
        matches: (event) => isOfType(event) && where(event),
        resolve: (event) => {
          if (isOfType(event)) resolve(event);
        },
        reject,
      });
    });
  }

  /** Calls `listener` with every event from now on, until the returned function is called. */
  subscribe(listener: (event: SimulatorEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets the events and gives up on whoever waits for one. */
  clear(reason: string): void {
    this.#events = [];
    for (const waiter of this.#waiters) waiter.reject(new Error(reason));
    this.#waiters.clear();
  }
}
