import { send } from "./client.ts";
import type { CallKind } from "./payloads.ts";
import type { RunningTarget } from "./targets.ts";

const kinds: readonly CallKind[] = ["json", "stream"];

/** Throws unless the target answers both kinds of call with exactly the bytes it should. */
export async function verifyTarget(target: RunningTarget): Promise<void> {
  for (const kind of kinds) {
    const { status, body } = await send(target.call(kind));
    const expected = target.expected(kind);
    if (status === 200 && body.equals(expected)) continue;
    throw new Error(
      `${target.name} answers ${kind} wrongly: status ${status}, ${body.length} bytes ` +
        `where 200 and ${expected.length} bytes were expected, ${firstDifference(body, expected)}; ` +
        `its last output:\n${target.child.tail() || "(none)"}`,
    );
  }
}

function firstDifference(actual: Buffer, expected: Buffer): string {
  const at = expected.findIndex((byte, index) => byte !== actual[index]);
  if (at === -1) return "the rest is too much";
  const excerpt = (bytes: Buffer) => JSON.stringify(bytes.toString("latin1", at, at + 60));
  return `from byte ${at} ${excerpt(actual)} instead of ${excerpt(expected)}`;
}
