/** How much room V8 gives to objects that die young. */
import { setFlagsFromString } from "node:v8";

/**
 * Keeps V8's young generation at the size start-up gave it (8 MB seen). By default it grows to 64 MB and
 * more under load, and the process to 300 MB: a sidecar's memory is the training pod's. A flag on node's
 * command line would do the same, but `npx turnpike` has none; `--max-semi-space-size` has no effect
 * once the heap exists, this one has.
 */
export function limitYoungGeneration(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}
