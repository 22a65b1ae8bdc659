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
  /** The next calls fail with these, in order; `undefined` lets one pass. */
  readonly failures: (GatewayError | undefined)[] = [];
  #count = 0;

  completeRollout(input: CompleteRolloutInput): Promise<LifecycleResult> {
    this.completions.push(input);
    return this.#answer();
  }

  updateReward(input: UpdateRewardInput): Promise<LifecycleResult> {
    this.rewards.push(input);
    return this.#answer();
  }

  #answer(): Promise<LifecycleResult> {
    const failure = this.failures.shift();
    if (failure) return Promise.reject(failure);
    this.#count += 1;
    return Promise.resolve({ requestId: `req-${this.#count}` });
  }
}
