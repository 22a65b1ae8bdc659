/** Every bound of the simulator, with its unit in its name. None is published for the service [inferred]. */
export const simulatorLimits = Object.freeze({
  /** A longer request body is refused; the service's own bound is not published. */
  maxRequestBodyBytes: 32 * 1024 * 1024,
  /** Trajectories kept in memory; the least recently used goes first. */
  maxTrajectories: 20_000,
  /** Turns kept in memory over all trajectories; the oldest go first. `turns.jsonl` keeps them all. */
  maxTurns: 100_000,
  /** Request and response bytes kept in memory over all turns; the oldest bodies are dropped first. */
  maxKeptBodyBytes: 128 * 1024 * 1024,
  /** Distinct lifecycle calls remembered for one trajectory. */
  maxLifecycleCallsPerTrajectory: 100,
  /** Events (`waitFor`) remembered. */
  maxEvents: 20_000,
  /** How far a request's date may be from the service's clock. */
  maxClockSkewMs: 5 * 60_000,
  /** Idle keep-alive connections are closed after this. */
  keepAliveTimeoutMs: 60_000,
  /** Fault rules in force at once. */
  maxFaultRules: 100,
});
