/** Which rollout: a trajectory id is unique within its job. */
export interface RolloutKey {
  readonly jobArn: string;
  readonly trajectoryId: string;
}
