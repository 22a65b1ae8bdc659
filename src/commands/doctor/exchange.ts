/** One small HTTP exchange of doctor's, the way the gateway would make it: same dispatcher, same proxy. */
import type { Config } from "../../config/schema.ts";
import { createDispatcher } from "../../job-runtime/dispatcher.ts";

export interface Question {
  readonly url: URL;
  readonly method: "GET" | "POST";
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** The other side's clock less ours, in milliseconds, to the second; undefined where it sent no Date. */
  readonly skewMs: number | undefined;
  readonly tookMs: number;
}

/** Short: doctor is run by someone who is waiting. */
const answerTimeoutMs = 5_000;
const maxAnswerBytes = 16_384;

/** Asks once. Rejects with a network error, or with `TimeoutError` after five seconds. */
export async function ask(config: Config, question: Question): Promise<Answer> {
  const { url, method, headers, body } = question;
  const dispatcher = createDispatcher({
    origin: url.origin,
    connectTimeoutMs: Math.min(config.timeouts.connect_ms, answerTimeoutMs),
    proxy: {
      httpsProxy: config.proxy.https,
      httpProxy: config.proxy.http,
      noProxy: config.proxy.none_for,
    },
  });
  const startedAt = Date.now();
  try {
    const response = await dispatcher.request({
      origin: url.origin,
      path: url.pathname,
      method,
      signal: AbortSignal.timeout(answerTimeoutMs),
      ...(headers ? { headers } : {}),
      ...(body === undefined ? {} : { body }),
    });
    const endedAt = Date.now();
    const date = Date.parse(String(response.headers["date"] ?? ""));
    return {
      status: response.statusCode,
      text: (await response.body.text()).slice(0, maxAnswerBytes),
      skewMs: Number.isNaN(date) ? undefined : date - (startedAt + endedAt) / 2,
      tookMs: endedAt - startedAt,
    };
  } finally {
    await dispatcher.destroy();
  }
}

/** What a failed exchange means and what to do, in words. */
export function networkTrouble(error: unknown): { readonly text: string; readonly advice: string } {
  const code = codeOf(error);
  const known = troubles.find(([pattern]) => pattern.test(code));
  const reason = error instanceof Error ? error.message : String(error);
  return {
    text: `${reason || code}${reason.includes(code) ? "" : ` (${code})`}`,
    advice: known?.[1] ?? "See whether this machine can reach it at all, e.g. with curl -v.",
  };
}

function codeOf(error: unknown): string {
  const { code, cause, name } = error as { code?: unknown; cause?: unknown; name?: string };
  if (typeof code === "string") return code;
  return cause === undefined ? (name ?? "unknown") : codeOf(cause);
}

const troubles: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [
    /ENOTFOUND|EAI_AGAIN/,
    "The name does not resolve: offline, no DNS, or a region without the service. Check the region; behind a proxy set HTTPS_PROXY.",
  ],
  [/ECONNREFUSED/, "Nothing listens there: check the address, or start what should."],
  [
    /TIMEOUT|ETIMEDOUT|TimeoutError/i,
    "Packets are dropped on the way: check egress rules and security groups; behind a proxy set HTTPS_PROXY.",
  ],
  [
    /ENETUNREACH|EHOSTUNREACH/,
    "There is no route: offline, or IPv6 only where the network has none.",
  ],
  [
    /CERT|SELF_SIGNED|UNABLE_TO/,
    "The certificate is not trusted, as behind an inspecting proxy: give its CA with NODE_EXTRA_CA_CERTS.",
  ],
  [/TLS|SSL|EPROTO/, "TLS failed: the other side may not speak it, or a proxy is in between."],
];
