/** Timers as an argument, so that tests can hold the clock. */

/** Runs `run` once, `delayMs` from now; the answer cancels it. */
export type Schedule = (delayMs: number, run: () => void) => () => void;

/** The machine's own. Such a timer does not keep the process alive. */
export const realSchedule: Schedule = (delayMs, run) => {
  const timer = setTimeout(run, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
};
