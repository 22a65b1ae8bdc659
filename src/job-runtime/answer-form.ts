/** How an answer of the service is to be read, told by its status and content type. */
import type { IncomingHttpHeaders } from "node:http";

/**
 * `frames`: event-stream frames around the model's bytes. `bytes`: the model's stream as it is.
 * `whole`: an answer to keep until it is complete. `error`: not a success. `none`: nothing came yet.
 */
export type AnswerForm = "none" | "frames" | "bytes" | "whole" | "error";

/** [model] and [docs] disagree on how SampleWithResponseStream streams, so both forms are taken (service.md, "Protocol"). */
export function answerForm(status: number, contentType: string): AnswerForm {
  if (status >= 300) return "error";
  if (contentType.startsWith("application/vnd.amazon.eventstream")) return "frames";
  return contentType.startsWith("text/event-stream") ? "bytes" : "whole";
}

/** An error the model's server made, OpenAI-shaped and not one of the service's: passed on as it is. */
export function isModelsOwnError(headers: IncomingHttpHeaders, body: Buffer): boolean {
  if (headers["x-amzn-errortype"] !== undefined) return false;
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    return (
      typeof parsed === "object" &&
      parsed !== null &&
      "error" in parsed &&
      typeof parsed.error === "object" &&
      !("__type" in parsed)
    );
  } catch {
    return false;
  }
}
