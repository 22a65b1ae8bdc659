import { expect, it } from "vitest";
import type { TurnEnd, TurnStart } from "../../src/rollouts/turn.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";

const start: TurnStart = {
  jobArn: "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/very-secret-job",
  trajectoryId: "very-secret-trajectory",
  stream: true,
  retryCount: 0,
  bytesIn: 10,
};
const end: TurnEnd = {
  outcome: "finished",
  status: 200,
  bytesOut: 10,
  firstByteMs: 40,
  durationMs: 1500,
  attempts: 1,
};

function setUp() {
  const metrics = createMetrics({ processMetrics: false });
  const turn = (starting: Partial<TurnStart>, ending: Partial<TurnEnd>) => {
    metrics.turnStarted({ ...start, ...starting });
    metrics.turnEnded({ ...start, ...starting }, { ...end, ...ending });
  };
  const lines = async () => (await metrics.text()).split("\n");
  return { metrics, turn, lines };
}

it("puts durations and first bytes into cumulative buckets, in seconds", async () => {
  const { turn, lines } = setUp();
  turn({}, {});
  turn({}, { durationMs: 3, firstByteMs: 2 });
  turn({}, { durationMs: 1_000_000 });
  const text = await lines();
  const labels = 'stream="true",outcome="finished"';
  const expected = [
    "# TYPE turnpike_turn_duration_seconds histogram",
    `turnpike_turn_duration_seconds_bucket{le="0.005",${labels}} 1`,
    `turnpike_turn_duration_seconds_bucket{le="1",${labels}} 1`,
    `turnpike_turn_duration_seconds_bucket{le="2.5",${labels}} 2`,
    `turnpike_turn_duration_seconds_bucket{le="900",${labels}} 2`,
    `turnpike_turn_duration_seconds_bucket{le="+Inf",${labels}} 3`,
    `turnpike_turn_duration_seconds_sum{${labels}} 1001.503`,
    `turnpike_turn_duration_seconds_count{${labels}} 3`,
    `turnpike_turn_first_byte_seconds_bucket{le="0.05",${labels}} 3`,
    `turnpike_turn_first_byte_seconds_count{${labels}} 3`,
    'turnpike_turn_duration_seconds_count{stream="false",outcome="failed"} 0',
  ];
  expect(text).toEqual(expect.arrayContaining(expected));
});

it("has a value on a bucket's bound inside that bucket", async () => {
  const { turn, lines } = setUp();
  turn({ stream: false }, { durationMs: 1000 });
  expect(await lines()).toContain(
    'turnpike_turn_duration_seconds_bucket{le="1",stream="false",outcome="finished"} 1',
  );
});

it("counts turns in flight up and down", async () => {
  const { metrics, lines } = setUp();
  metrics.turnStarted(start);
  metrics.turnStarted(start);
  metrics.turnEnded(start, end);
  expect(await lines()).toContain("turnpike_turns_in_flight 1");
});

it("counts departures, broken streams, retries and tokens", async () => {
  const { turn, lines } = setUp();
  turn({ retryCount: 2 }, { outcome: "client_left", status: 499 });
  turn({}, { outcome: "truncated", usage: { promptTokens: 11, completionTokens: 5 } });
  turn({}, { usage: { promptTokens: 1, completionTokens: 2 } });
  const expected = [
    "turnpike_client_disconnects_total 1",
    "turnpike_truncated_streams_total 1",
    "turnpike_client_retries_total 1",
    'turnpike_tokens_total{kind="prompt"} 12',
    'turnpike_tokens_total{kind="completion"} 7',
  ];
  expect(await lines()).toEqual(expect.arrayContaining(expected));
  // A second scrape does not count again.
  expect(await lines()).toEqual(expect.arrayContaining(expected));
});

it("counts upstream errors by a closed set of types", async () => {
  const { turn, lines } = setUp();
  turn({}, { outcome: "failed", serviceType: "ThrottlingException", code: "service_throttled" });
  turn({}, { outcome: "failed", serviceType: "MadeUp\n{}", code: "service_internal" });
  turn({}, { outcome: "truncated", code: "upstream_reset" });
  turn({}, { outcome: "failed", code: "too_many_turns" });
  const counted = (await lines()).filter((line) =>
    /^turnpike_upstream_errors_total\{.*\} [1-9]/.test(line),
  );
  expect(counted.sort()).toEqual([
    'turnpike_upstream_errors_total{type="ThrottlingException"} 1',
    'turnpike_upstream_errors_total{type="other"} 1',
    'turnpike_upstream_errors_total{type="upstream_reset"} 1',
  ]);
});

it("counts lifecycle calls by operation and outcome, from zero", async () => {
  const { metrics, lines } = setUp();
  metrics.lifecycleCalled("update_reward", "already_done");
  expect(await lines()).toEqual(
    expect.arrayContaining([
      'turnpike_lifecycle_calls_total{operation="update_reward",outcome="already_done"} 1',
      'turnpike_lifecycle_calls_total{operation="complete_rollout",outcome="failed"} 0',
    ]),
  );
});

it("is never labelled by trajectory or ARN", async () => {
  const { metrics, turn } = setUp();
  turn({}, {});
  expect(await metrics.text()).not.toMatch(/very-secret|arn:/);
});

it("shares nothing between two gateways of one process", async () => {
  const first = setUp();
  const second = setUp();
  first.turn({ retryCount: 1 }, {});
  expect(await second.lines()).toContain("turnpike_client_retries_total 0");
});

it("says what runs, and how the process fares", async () => {
  const text = await createMetrics().text();
  expect(text).toMatch(/turnpike_build_info\{version="\d+\.\d+\.\d+",node_version="v\d+/);
  expect(text).toContain("process_resident_memory_bytes");
});
