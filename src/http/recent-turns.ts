/**
 * The turns a client's retry may mean (clients.md, "How they retry"): those under way, those just
 * answered, and what became of those that failed. Bounded in bytes and time.
 */
import { LRUCache } from "lru-cache";
import type { TurnIdentity } from "../identity/identify.ts";
import { isAmbiguous } from "../job-runtime/retry-policy.ts";
import type { Turn } from "./turn.ts";

export interface RecentTurnsSettings {
  /** False: retries always go up. */
  readonly replay: boolean;
  /** How long a finished answer is kept, in milliseconds. */
  readonly ttlMs: number;
  /** Bytes of finished answers kept in all. */
  readonly maxBytes: number;
}

/** Same job, same trajectory, same body: told by the body's SHA-256 as the client sent it. */
export function turnKey({ jobArn, trajectoryId }: TurnIdentity, bodyHash: string): string {
  return `${bodyHash}${trajectoryId}\n${jobArn}`;
}

/** Ends of failed turns kept: one costs about 400 bytes. */
const maxFates = 10_000;

export class RecentTurns {
  readonly #replay: boolean;
  readonly #running = new Map<string, Turn[]>();
  readonly #finished: LRUCache<string, Turn>;
  /** Turns without an answer: may the service have captured them? */
  readonly #fates: LRUCache<string, "captured-perhaps" | "not-captured">;

  constructor({ replay, ttlMs, maxBytes }: RecentTurnsSettings) {
    this.#replay = replay;
    this.#finished = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (turn) => turn.keptBytes + 1024,
      ttl: ttlMs,
    });
    this.#fates = new LRUCache({ max: maxFates, ttl: ttlMs });
  }

  /** The turn whose answer a marked retry should get. */
  find(key: string): Turn | undefined {
    if (!this.#replay) return undefined;
    const running = this.#running.get(key)?.filter((turn) => turn.joinable);
    // One that lost its client is the one the retry means; else the latest.
    return running?.find((turn) => turn.orphaned) ?? running?.at(-1) ?? this.#finished.get(key);
  }

  /** For a marked retry that goes up: whether the service may have the turn already. */
  mayBeCaptured(key: string): boolean {
    return this.#fates.get(key) !== "not-captured";
  }

  started(key: string, turn: Turn): void {
    const others = this.#running.get(key);
    if (others) others.push(turn);
    else this.#running.set(key, [turn]);
  }

  settled(key: string, turn: Turn): void {
    this.#stopRunning(key, turn);
    if (this.#replay && turn.complete && turn.joinable) {
      this.#finished.set(key, turn);
      return;
    }
    const { error } = turn;
    const refused = error !== undefined && !isAmbiguous(error) && error.code !== "shutting_down";
    this.#fates.set(key, refused ? "not-captured" : "captured-perhaps");
  }

  #stopRunning(key: string, turn: Turn): void {
    const running = this.#running.get(key);
    if (!running || running.length <= 1) {
      this.#running.delete(key);
      return;
    }
    this.#running.set(
      key,
      running.filter((other) => other !== turn),
    );
  }
}
