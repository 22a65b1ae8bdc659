import { describe, expect, it } from "vitest";
import { Slots } from "../../src/ingress/slots.ts";

const never = new AbortController().signal;

describe("slots", () => {
  it("are given in the order of arrival, as they become free", async () => {
    const slots = new Slots(1, 2);
    expect(await slots.enter(never)).toBe(true);
    const order: string[] = [];
    const first = slots.enter(never).then(() => order.push("first"));
    const second = slots.enter(never).then(() => order.push("second"));
    expect([slots.running, slots.queued, slots.isFull]).toEqual([1, 2, true]);
    slots.leave();
    await first;
    expect([slots.running, slots.queued, slots.isFull]).toEqual([1, 1, false]);
    slots.leave();
    await second;
    slots.leave();
    expect(order).toEqual(["first", "second"]);
    expect([slots.running, slots.queued]).toEqual([0, 0]);
  });

  it("are not given to those who have given up, nor to those sent away", async () => {
    const slots = new Slots(1, 2);
    await slots.enter(never);
    const patience = new AbortController();
    const one = slots.enter(patience.signal);
    const other = slots.enter(never);
    patience.abort();
    expect(await one).toBe(false);
    slots.drop();
    expect(await other).toBe(false);
    slots.leave();
    expect(slots.running).toBe(0);
    expect(await slots.enter(patience.signal)).toBe(false);
  });
});
