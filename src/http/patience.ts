/** How long a caller waits for an answer, as far as it says so. */
import type { IncomingHttpHeaders } from "node:http";

export interface Patience {
  /** `Prefer: respond-async`: it does not wait at all. */
  readonly isAsync: boolean;
  readonly waitMs: number;
}

/** What a client needs to get its answer before it gives up, in milliseconds. */
const marginMs = 1_000;

/**
 * `Prefer: respond-async` and `wait=<seconds>` (RFC 7240, sections 4.1 and 4.3), and the official SDKs' own
 * timeout in seconds (clients.md, "What they send"); otherwise `defaultMs`.
 */
export function patienceOf(headers: IncomingHttpHeaders, defaultMs: number): Patience {
  const preferences = preferencesIn(headers["prefer"]);
  const asked = seconds(preferences.get("wait"));
  const timeout = seconds(
    first(headers["x-stainless-timeout"]) ?? first(headers["x-stainless-read-timeout"]),
  );
  const waitMs = asked === undefined ? defaultMs : asked * 1000;
  const limitMs = timeout === undefined ? waitMs : Math.max(0, timeout * 1000 - marginMs);
  return { isAsync: preferences.has("respond-async"), waitMs: Math.min(waitMs, limitMs) };
}

function preferencesIn(header: string | string[] | undefined): Map<string, string> {
  const text = Array.isArray(header) ? header.join(",") : (header ?? "");
  return new Map(
    text.split(",").map((preference) => {
      const [name = "", value = ""] = (preference.split(";")[0] ?? "").split("=");
      return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, "$1")];
    }),
  );
}

function seconds(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,6}(\.\d+)?$/.test(text)) return undefined;
  return Number(text);
}

function first(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
