/** CompleteRollout and UpdateReward, the two idempotent operations (service.md, "Protocol"). */

export type RolloutStatus = "ready" | "failed";

export interface CompleteRolloutInput {
  readonly jobArn: string;
  readonly trajectoryId: string;
  readonly status: RolloutStatus;
  /** The same token for the same statement, across retries and restarts. */
  readonly clientToken: string;
}

export interface UpdateRewardInput {
  readonly jobArn: string;
  readonly trajectoryId: string;
  /** One finite number per turn, or a single one for the whole trajectory. */
  readonly rewards: readonly number[];
  readonly clientToken: string;
}

export interface LifecycleResult {
  /** `x-amzn-requestid` of the answer. */
  readonly requestId: string | undefined;
}

/** Throws GatewayError with a `service_…`, `upstream_…` or `credentials_unavailable` code. */
export interface LifecycleClient {
  completeRollout(input: CompleteRolloutInput): Promise<LifecycleResult>;
  updateReward(input: UpdateRewardInput): Promise<LifecycleResult>;
}
