/** A LifecycleClient that notes what it is asked and answers as it is told. */
import type { GatewayError } from "../../src/errors.ts";
import type {
  CompleteRolloutInput,
  LifecycleClient,
  LifecycleResult,
  UpdateRewardInput,
} from "../../src/job-runtime/lifecycle.ts";

export class RecordingClient implements LifecycleClient {
  readonly completions: CompleteRolloutInput[] = [];
  readonly rewards: UpdateRewardInput[] = [];
  /** All of them in their order: `complete t-1`, `reward t-1`. */
  readonly order: string[] = [];
  /** The next calls fail with these, in order; `undefined` lets one pass. */
  readonly failures: (GatewayError | undefined)[] = [];
  /** Asked once `failures` are used up. */
  failWith: (() => GatewayError | undefined) | undefined;
  /** Calls wait for this. */
  gate: Promise<void> = Promise.resolve();
  underWay = 0;
  mostUnderWay = 0;
  #count = 0;

  completeRollout(input: CompleteRolloutInput): Promise<LifecycleResult> {
    this.completions.push(input);
    this.order.push(`complete ${input.trajectoryId}`);
    return this.#answer();
  }

  updateReward(input: UpdateRewardInput): Promise<LifecycleResult> {
    this.rewards.push(input);
    this.order.push(`reward ${input.trajectoryId}`);
    return this.#answer();
  }

  async #answer(): Promise<LifecycleResult> {
    const failure = this.failures.length > 0 ? this.failures.shift() : this.failWith?.();
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    await this.gate;
    this.underWay -= 1;
    if (failure) throw failure;
    this.#count += 1;
    return { requestId: `req-${this.#count}` };
  }
}
