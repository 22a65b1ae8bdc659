/** A request's body as one buffer, straight from node's request: web streams cost two thirds of the throughput (measured.md). */
import type { IncomingMessage } from "node:http";
import { GatewayError } from "../errors.ts";
import { bodyTooLarge } from "./guard.ts";

/**
 * Throws GatewayError `body_too_large` as soon as more than `limit` bytes have come, and `client_closed`
 * when the client leaves before the last one.
 */
export function readBody(incoming: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > limit) {
        stop();
        // Flows on into nothing, so that the client can read the answer before it has sent all.
        incoming.resume();
        reject(bodyTooLarge(limit));
        return;
      }
      chunks.push(chunk);
    };
    const onEnd = (): void => {
      stop();
      const [first] = chunks;
      resolve(chunks.length === 1 && first ? first : Buffer.concat(chunks, bytes));
    };
    const onGone = (cause?: Error): void => {
      stop();
      reject(
        new GatewayError("client_closed", "The client left before its request was complete.", {
          cause,
        }),
      );
    };
    const stop = (): void => {
      incoming.off("data", onData).off("end", onEnd).off("error", onGone).off("close", onGone);
    };
    incoming.on("data", onData).on("end", onEnd).on("error", onGone).on("close", onGone);
  });
}
