import { describe, expect, it, vi } from "vitest";
import { type RolloutRoutes, rolloutRoutes } from "../../src/http/rollouts.ts";
import { serviceError } from "../../src/job-runtime/errors.ts";
import type { Ledger } from "../../src/rollouts/ledger.ts";
import { realSchedule } from "../../src/rollouts/schedule.ts";
import { type DeskOptions, setUpDesk } from "../rollouts/desk.ts";
import { call, type Exchange, serveRoutes } from "./serve-routes.ts";

const jobArn = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/one";
const otherJob = "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/two";
const jobHeader = (arn: string) => ({ "x-amzn-sagemaker-job-arn": arn });

/** Timers are real; the time of day stands still unless `clock` is told otherwise. */
async function setUp(settings: Partial<RolloutRoutes> = {}, options: DeskOptions = {}) {
  const desk = setUpDesk({ schedule: realSchedule, ...options });
  const { client, ledger, lifecycle } = desk;
  const url = await serveRoutes(
    rolloutRoutes({
      ledger,
      lifecycle,
      waitMs: 50_000,
      jobArn,
      allowedJobs: [],
      publicUrl: () => "http://127.0.0.1:8484",
      asksForKey: false,
      ...settings,
    }),
  );
  const ask = (path: string, exchange?: Exchange) => call(`${url}${path}`, exchange);
  return { ...desk, ask, sent: () => [...client.completions, ...client.rewards] };
}

function finishTurns(ledger: Ledger, count: number, job = jobArn): void {
  for (let i = 0; i < count; i += 1) {
    const start = { jobArn: job, trajectoryId: "t-1", stream: false, retryCount: 0, bytesIn: 1 };
    const end = {
      outcome: "finished",
      status: 200,
      bytesOut: 1,
      durationMs: 1,
      attempts: 1,
    } as const;
    ledger.endTurn(ledger.beginTurn(start), end);
  }
}

describe("GET /rollouts", () => {
  it("lists the latest first, and says how many there are", async () => {
    const { ask, ledger, clock } = await setUp();
    for (const trajectoryId of ["a", "b", "c"]) {
      ledger.register({ jobArn, trajectoryId });
      await clock.advance(1);
    }
    const { json } = await ask("/rollouts?limit=2");
    expect(json).toMatchObject({
      object: "list",
      data: [{ id: "c", state: "open" }, { id: "b" }],
      total: 3,
      has_more: true,
    });
    expect((await ask("/rollouts")).json).toMatchObject({ total: 3, has_more: false });
  });

  it.each(["0", "1001", "x", "1.5", ""])("refuses the limit %j", async (limit) => {
    const { ask } = await setUp();
    const answer = await ask(`/rollouts?limit=${limit}`);
    expect(answer.status).toBe(400);
    expect(answer.json.error.message).toContain("a whole number from 1 to 1000");
  });
});

describe("GET /rollouts/{id}", () => {
  it("shows a rollout by its percent-encoded id", async () => {
    const { ask, ledger } = await setUp();
    ledger.register({ jobArn, trajectoryId: "a/b %" });
    expect((await ask("/rollouts/a%2Fb%20%25")).json).toMatchObject({
      id: "a/b %",
      job_arn: jobArn,
    });
  });

  it("knows rollouts by their turns alone, without being told the job", async () => {
    const { ask, ledger } = await setUp({ jobArn: null });
    finishTurns(ledger, 2, otherJob);
    expect((await ask("/rollouts/t-1")).json).toMatchObject({
      job_arn: otherJob,
      turns: { finished: 2 },
    });
  });

  it("asks for the job where several have a rollout of that name", async () => {
    const { ask, ledger } = await setUp();
    finishTurns(ledger, 1, jobArn);
    finishTurns(ledger, 2, otherJob);
    const answer = await ask("/rollouts/t-1");
    expect(answer.json.error.code).toBe("conflicting_identity");
    expect(answer.json.error.message).toContain('2 jobs have a rollout "t-1"');
    const named = await ask("/rollouts/t-1", { headers: jobHeader(otherJob) });
    expect(named.json.turns.finished).toBe(2);
  });

  it.each([
    ["/rollouts/none", 404, "unknown_rollout", 'turnpike knows no rollout "none"'],
    ["/rollouts/%zz", 400, "invalid_identity", "not valid percent-encoding"],
  ])("answers %s with %i %s", async (path, status, code, message) => {
    const { ask } = await setUp();
    const answer = await ask(path);
    expect(answer.status).toBe(status);
    expect(answer.json.error.code).toBe(code);
    expect(answer.json.error.message).toContain(message);
  });
});

describe("POST /rollouts/{id}/complete", () => {
  it("without a body completes as ready", async () => {
    const { ask, client, ledger } = await setUp();
    finishTurns(ledger, 1);
    const answer = await ask("/rollouts/t-1/complete", { method: "POST" });
    expect(answer.status).toBe(200);
    expect(client.completions).toMatchObject([{ jobArn, trajectoryId: "t-1", status: "ready" }]);
    expect(client.rewards).toEqual([]);
    expect(answer.json).toMatchObject({
      id: "t-1",
      state: "ready",
      completion: { status: "ready", outcome: "delivered", request_id: "req-1" },
      reward: null,
      warnings: [],
    });
    expect(answer.headers["x-request-id"]).toBe("req-1");
    expect(answer.headers["x-turnpike-trajectory-id"]).toBe("t-1");
  });

  it.each([{}, { status: "ready" }, { status: "failed" }])("takes %j", async (body) => {
    const { ask, client } = await setUp();
    expect((await ask("/rollouts/t-1/complete", { body })).status).toBe(200);
    expect(client.completions[0]?.status).toBe("status" in body ? body.status : "ready");
  });

  it("sends the reward after the completion", async () => {
    const { ask, sent, ledger } = await setUp();
    finishTurns(ledger, 2);
    const body = { status: "ready", reward: 1, shape: "last" };
    const answer = await ask("/rollouts/t-1/complete", { body });
    expect(answer.json).toMatchObject({
      state: "rewarded",
      completion: { request_id: "req-1" },
      reward: { rewards: [0, 1], request_id: "req-2" },
    });
    expect(sent()).toHaveLength(2);
  });

  it("warns of a rollout without turns, once", async () => {
    const { ask } = await setUp();
    const { json } = await ask("/rollouts/t-1/complete", { body: { reward: 1 } });
    expect(json.warnings).toEqual([expect.stringContaining("without a single finished turn")]);
  });

  it.each([
    [{ reward: 1, rewards: [1] }, "invalid_reward", "not both"],
    [{ reward: "1" }, "invalid_reward", "must be a finite number"],
    [{ reward: null }, "invalid_reward", "`reward` is null"],
    [{ shape: "last" }, "invalid_reward", "Give `reward`"],
    ['{"reward":1e999}', "invalid_reward", "`reward` is Infinity"],
    ['{"reward":NaN}', "invalid_json", "not valid JSON"],
    [
      { rewards: [1, 2, 3] },
      "reward_count_mismatch",
      "has 3 values, but turnpike saw 1 finished turn",
    ],
    [{ status: "done" }, "invalid_request", '`status` must be "ready" (the default) or "failed"'],
    [{ status: null }, "invalid_request", "`status` must be"],
    [
      { statuss: "failed" },
      "invalid_request",
      'the field "statuss", which mean nothing here; allowed are `status`, `reward`',
    ],
  ])("sends nothing at all for %j: %s", async (body, code, message) => {
    const { ask, sent, ledger } = await setUp();
    finishTurns(ledger, 1);
    const answer = await ask("/rollouts/t-1/complete", { body });
    expect(answer.status).toBe(400);
    expect(answer.json.error.code).toBe(code);
    expect(answer.json.error.message).toContain(message);
    expect(sent()).toEqual([]);
  });

  it("waits for a throttled service, and answers once it has both", async () => {
    const { ask, client, ledger } = await setUp({}, { random: () => 0 });
    finishTurns(ledger, 1);
    const throttled = serviceError({
      type: "ThrottlingException",
      status: 429,
      message: "slow down",
      requestId: "req-9",
    });
    client.failures.push(throttled, undefined, throttled);
    const answer = await ask("/rollouts/t-1/complete", { body: { reward: 1 } });
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({
      state: "rewarded",
      completion: { attempts: 2 },
      reward: { attempts: 2, error: null },
      warnings: [],
    });
  });

  it("says which half was done when the reward is refused, and goes on saying it", async () => {
    const { ask, client, ledger } = await setUp();
    finishTurns(ledger, 1);
    const failure = serviceError({
      type: "AccessDeniedException",
      status: 403,
      message: "not yours",
      requestId: "req-9",
    });
    client.failures.push(undefined, failure);
    const answer = await ask("/rollouts/t-1/complete", { body: { reward: 1 } });
    expect(answer.status).toBe(403);
    expect(answer.headers).toMatchObject({ "x-request-id": "req-9" });
    expect(answer.json.error.message).toContain(
      "The rollout was completed, but its reward was not delivered; send it by POST /rollouts/{id}/reward. AccessDeniedException: not yours",
    );
    expect((await ask("/rollouts/t-1")).json).toMatchObject({
      state: "ready",
      reward: {
        rewards: [1],
        outcome: "refused",
        error: { code: "service_access_denied", message: expect.stringContaining("not yours") },
      },
      warnings: [
        expect.stringContaining("The reward was refused: AccessDeniedException: not yours"),
      ],
    });
    // Mended meanwhile: the same request again gets it done.
    const again = await ask("/rollouts/t-1/complete", { body: { reward: 1 } });
    expect(again.json.state).toBe("rewarded");
    expect(client.completions).toHaveLength(1);
    expect(client.rewards[1]).toEqual(client.rewards[0]);
  });

  it("answers the same request the same way, without sending it again", async () => {
    const { ask, sent, ledger } = await setUp();
    finishTurns(ledger, 2);
    const body = { reward: 1, shape: "last" };
    const first = await ask("/rollouts/t-1/complete", { body });
    const again = await ask("/rollouts/t-1/complete", { body });
    expect([again.status, again.json]).toEqual([200, first.json]);
    expect(again.headers["x-request-id"]).toBe(first.headers["x-request-id"]);
    // The same words, although nobody would know the number of turns any more.
    ledger.open({ jobArn, trajectoryId: "t-1" }).countsMayBeShort = true;
    expect((await ask("/rollouts/t-1/complete", { body })).json.reward).toEqual(first.json.reward);
    expect(sent()).toHaveLength(2);
  });

  it("is 409 for an empty rollout where those are refused", async () => {
    const { ask, sent } = await setUp({}, { refuseEmpty: true });
    const answer = await ask("/rollouts/t-1/complete", { method: "POST" });
    expect([answer.status, answer.json.error.code]).toEqual([409, "rollout_empty"]);
    expect(answer.headers["x-should-retry"]).toBe("false");
    expect(sent()).toEqual([]);
  });

  it("refuses identities as the corridor does", async () => {
    const { ask, sent } = await setUp({ allowedJobs: [otherJob], jobArn: null });
    const cases: [Record<string, string>, string][] = [
      [{}, "missing_identity"],
      [jobHeader(jobArn), "job_not_allowed"],
      [{ ...jobHeader(otherJob), "x-amzn-sagemaker-trajectory-id": "t-2" }, "conflicting_identity"],
      [{ ...jobHeader(otherJob), authorization: "Bearer rollout-t-2" }, "conflicting_identity"],
    ];
    for (const [headers, code] of cases) {
      const answer = await ask("/rollouts/t-1/complete", { method: "POST", headers });
      expect(answer.json.error.code).toBe(code);
    }
    expect(sent()).toEqual([]);
  });
});

describe("POST /rollouts/{id}/reward", () => {
  it.each([
    [{ reward: 0.25 }, [0.25]],
    [{ reward: 0.25, shape: "scalar" }, [0.25]],
    [{ reward: 1, shape: "last" }, [0, 0, 1]],
    [{ reward: 1, shape: "broadcast" }, [1, 1, 1]],
    [{ rewards: [1, 0, -1] }, [1, 0, -1]],
  ])("sends %j as %j", async (body, rewards) => {
    const { ask, client, ledger } = await setUp();
    finishTurns(ledger, 3);
    const answer = await ask("/rollouts/t-1/reward", { body });
    expect(answer.status).toBe(200);
    expect(answer.json.reward.rewards).toEqual(rewards);
    expect(client.rewards).toMatchObject([{ jobArn, trajectoryId: "t-1", rewards }]);
    expect(client.completions).toEqual([]);
  });

  it.each([
    [undefined, "Give `reward` (a finite number) or `rewards`"],
    [{ reward: 1, status: "ready" }, 'the field "status"'],
    [{ rewards: [] }, "`rewards` is an empty list"],
  ])("refuses %j: %s", async (body, message) => {
    const { ask, sent } = await setUp();
    const answer = await ask("/rollouts/t-1/reward", { method: "POST", body });
    expect(answer.status).toBe(400);
    expect(answer.json.error.message).toContain(message);
    expect(sent()).toEqual([]);
  });

  it("for a rollout that was rewarded otherwise is a conflict that says what was sent", async () => {
    const { ask } = await setUp();
    await ask("/rollouts/t-1/reward", { body: { reward: 1 } });
    const answer = await ask("/rollouts/t-1/reward", { body: { reward: 0 } });
    expect(answer.status).toBe(409);
    expect(answer.json.error.message).toContain(
      "was rewarded with [1] at 2026-03-01T10:00:00.000Z",
    );
  });
});

describe("a caller that does not wait for the outcome", () => {
  const reward = { body: { reward: 1 } };

  it("gets 202 with the place to look at once what it said is stored", async () => {
    const { ask, client, ledger } = await setUp();
    const { promise, resolve } = Promise.withResolvers<void>();
    client.gate = promise;
    const headers = { prefer: "respond-async" };
    const path = "/rollouts/t%2F1/complete";
    const answer = await ask(path, { ...reward, headers });
    expect(answer.status).toBe(202);
    expect(answer.headers).toMatchObject({
      location: "/rollouts/t%2F1",
      "preference-applied": "respond-async",
      "x-turnpike-trajectory-id": "t/1",
    });
    expect(answer.json).toMatchObject({
      state: "completing",
      completion: { outcome: "pending" },
      reward: { rewards: [1], outcome: "pending", at: null },
    });
    expect(ledger.store.find({ jobArn, trajectoryId: "t/1" })?.reward?.said.rewards).toEqual([1]);
    resolve();
    // The same request, willing to wait: the same operations.
    expect((await ask(path, reward)).status).toBe(200);
    expect((await ask(answer.headers.location ?? "")).json.state).toBe("rewarded");
    expect([client.completions.length, client.rewards.length]).toEqual([1, 1]);
  });

  it.each([
    ["its own wait", { prefer: "wait=0" }, 50_000],
    ["its SDK's timeout", { "x-stainless-timeout": "1" }, 50_000],
    ["delivery.wait_s", {}, 1],
  ])("gets 202 when %s has passed", async (_what, headers, waitMs) => {
    const { ask, client } = await setUp({ waitMs });
    client.gate = new Promise(() => undefined);
    const answer = await ask("/rollouts/t-1/reward", { ...reward, headers });
    expect(answer.status).toBe(202);
    expect(answer.headers.location).toBe("/rollouts/t-1");
    expect(answer.headers["preference-applied"]).toBeUndefined();
  });

  it("and has left has its delivery made all the same", async () => {
    const { client, ledger, lifecycle } = await setUp();
    const { promise, resolve } = Promise.withResolvers<void>();
    client.gate = promise;
    const url = await serveRoutes(
      rolloutRoutes({
        ledger,
        lifecycle,
        waitMs: 50_000,
        jobArn,
        allowedJobs: [],
        publicUrl: () => "",
        asksForKey: false,
      }),
    );
    const leave = new AbortController();
    const asked = fetch(`${url}/rollouts/t-1/reward`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ reward: 1 }),
      signal: leave.signal,
    });
    asked.catch(() => undefined);
    await vi.waitFor(() => expect(client.rewards).toHaveLength(1));
    leave.abort();
    await expect(asked).rejects.toThrow("aborted");
    resolve();
    await vi.waitFor(() => expect(ledger.list(1)[0]?.state).toBe("rewarded"));
  });
});
