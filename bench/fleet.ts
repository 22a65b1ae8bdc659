/** The targets of a scenario, all started, only one of them awake at a time. */
import type { Bench } from "./bench.ts";
import { type RunningTarget, startTarget } from "./targets.ts";
import { verifyTarget } from "./verify.ts";

export interface Fleet extends AsyncDisposable {
  readonly targets: readonly RunningTarget[];
  /** Runs `work` while the others are stopped (SIGSTOP): the target has its core alone. */
  alone<T>(target: RunningTarget, work: (target: RunningTarget) => Promise<T>): Promise<T>;
}

/** Starts and verifies every target that was asked for. */
export async function startFleet(bench: Bench): Promise<Fleet> {
  await using starting = new AsyncDisposableStack();
  const targets: RunningTarget[] = [];
  for (const name of bench.options.targets) {
    const target = starting.use(
      await startTarget(name, { ...bench, ...bench.options, upstreamPort: bench.upstream.port }),
    );
    await verifyTarget(target);
    target.child.pause();
    targets.push(target);
  }
  const started = starting.move();
  return {
    targets,
    alone: async (target, work) => {
      target.child.resume();
      try {
        return await work(target);
      } finally {
        target.child.pause();
      }
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}
