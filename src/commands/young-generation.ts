/** How much room V8 gives to objects that die young. */
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/**
 * Enough for a thousand turns a second: half of it, and the collector ran so often that it cost a quarter of
 * the throughput; the default grows to 64 MB and the process to 300 MB, and a sidecar's memory is the pod's.
 */
const enoughBytes = 12 * 1024 * 1024;
const lookEveryMs = 100;

/**
 * Lets V8's young generation grow to what is enough and then keeps it there. `--max-semi-space-size=8` on
 * node's command line does the same and more simply, but `npx turnpike` has no such line, and that flag
 * has no effect any more once the heap exists; this one has.
 */
export function limitYoungGeneration(): void {
  const timer = setInterval(() => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
    if ((young?.space_size ?? 0) < enoughBytes) return;
    clearInterval(timer);
    setFlagsFromString("--semi-space-growth-factor=1");
  }, lookEveryMs).unref();
}
