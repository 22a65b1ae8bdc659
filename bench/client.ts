/** The harness's own HTTP client: whole answers, with the time to the first byte of the body. */
import { Agent, request } from "node:http";

const timeoutMs = 60_000;

export interface Call {
  readonly port: number;
  readonly path: string;
  readonly method?: "GET" | "POST";
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
  /** Reuses connections; without one each call makes its own. */
  readonly agent?: Agent;
  /** Called with the answer's first bytes. */
  readonly onFirstByte?: () => void;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
  /** From the call to the first byte of the body. */
  readonly firstByteMs: number;
}

/** Sends one request and reads its answer to the end. Rejects when the answer is cut short. */
export function send(call: Call): Promise<Answer> {
  const { port, path, method = "GET", headers = {}, body, agent = false, onFirstByte } = call;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const started = performance.now();
  const lengthHeader = body === undefined ? {} : { "content-length": String(body.length) };
  const outgoing = request(
    {
      host: "127.0.0.1",
      port,
      path,
      method,
      agent,
      timeout: timeoutMs,
      headers: { ...headers, ...lengthHeader },
    },
    (response) => {
      const chunks: Buffer[] = [];
      let firstByteMs = Number.NaN;
      response.on("data", (chunk: Buffer) => {
        if (chunks.push(chunk) > 1) return;
        firstByteMs = performance.now() - started;
        onFirstByte?.();
      });
      response.once("error", reject);
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          contentType: response.headers["content-type"] ?? "",
          body: Buffer.concat(chunks),
          firstByteMs,
        }),
      );
    },
  );
  outgoing.once("timeout", () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)));
  outgoing.once("error", reject);
  outgoing.end(body);
  return promise;
}

/** True when the address answers 200. */
export async function answersOk(port: number, path: string): Promise<boolean> {
  return (await send({ port, path })).status === 200;
}

/** One connection, kept. */
export function singleConnection(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}
