/** Admission to the corridor: a bound on turns in flight, and an orderly end to them at shutdown. */
import { GatewayError } from "../errors.ts";

/** How many turns are under way, and whether another may begin. */
export class TurnGate {
  readonly #maxTurns: number;
  readonly #turns = new Set<RunningTurn>();
  #closed = false;
  #onEmpty: (() => void) | undefined;

  constructor(maxTurns: number) {
    this.#maxTurns = maxTurns;
  }

  get inFlight(): number {
    return this.#turns.size;
  }

  /** Throws GatewayError `shutting_down` or `too_many_turns`. */
  check(): void {
    if (this.#closed) {
      throw new GatewayError(
        "shutting_down",
        "turnpike is shutting down and takes no new turns; the request was not sent to the service.",
        { retryAfterMs: 1_000 },
      );
    }
    if (this.#turns.size >= this.#maxTurns) {
      throw new GatewayError(
        "too_many_turns",
        `${this.#maxTurns} turns are in flight, as many as this turnpike takes at once (server.max_concurrent_turns). The request was not sent to the service.`,
        { retryAfterMs: 1_000 },
      );
    }
  }

  enter(turn: RunningTurn): void {
    this.#turns.add(turn);
  }

  leave(turn: RunningTurn): void {
    this.#turns.delete(turn);
    if (this.#turns.size === 0) this.#onEmpty?.();
  }

  /** From now on no turn begins. Resolves when the last one has ended, or ends them all after `drainMs`. */
  async close(drainMs: number): Promise<void> {
    this.#closed = true;
    if (this.#turns.size === 0) return;
    const emptied = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    const timer = setTimeout(() => {
      for (const turn of [...this.#turns]) turn.cutShort(cutShortError());
    }, drainMs);
    await emptied;
    clearTimeout(timer);
  }
}

export interface RunningTurn {
  /** Ends the turn now, with an error the client can see. */
  cutShort(error: GatewayError): void;
}

function cutShortError(): GatewayError {
  return new GatewayError(
    "shutting_down",
    "turnpike was shut down before this turn had ended (shutdown.drain_ms). The turn may have been captured.",
    { shouldRetry: false },
  );
}
