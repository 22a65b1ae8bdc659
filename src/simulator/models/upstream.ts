/** A model behind any OpenAI-compatible API: Ollama, vLLM, a hosted one. */
import { Agent, request } from "undici";
import { ServiceError } from "../service-error.ts";
import type { Model, ModelAnswer, ModelCall } from "./model.ts";
import { sseEvents } from "./sse-events.ts";

export interface UpstreamModelOptions {
  /** Up to and with `/v1`, e.g. `http://127.0.0.1:11434/v1`. */
  readonly baseUrl: string;
  /** Sent as a bearer token. */
  readonly apiKey?: string;
  /** Replaces the request's `model`. */
  readonly model?: string;
}

export function createUpstreamModel(options: UpstreamModelOptions): Model {
  const url = `${options.baseUrl.replace(/\/+$/u, "")}/chat/completions`;
  // A model may think for longer than undici's default of five minutes; the client's leaving ends the call.
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  return {
    answer: (call) => ask(url, call, { options, dispatcher }),
    close: () => dispatcher.destroy(),
  };
}

async function ask(
  url: string,
  call: ModelCall,
  { options, dispatcher }: { options: UpstreamModelOptions; dispatcher: Agent },
): Promise<ModelAnswer> {
  let response: Awaited<ReturnType<typeof request>>;
  try {
    response = await request(url, {
      method: "POST",
      dispatcher,
      signal: call.signal,
      headers: {
        "content-type": "application/json",
        "accept-encoding": "identity",
        ...(options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` }),
      },
      body: requestBody(call, options.model),
    });
  } catch (error) {
    call.signal.throwIfAborted();
    throw new ServiceError("InternalServiceError", `The model at ${url} cannot be reached.`, {
      cause: error,
    });
  }
  const contentType = String(response.headers["content-type"] ?? "application/json");
  if (response.statusCode >= 400) {
    throw modelError(response.statusCode, await response.body.text());
  }
  if (contentType.startsWith("text/event-stream")) {
    return { kind: "stream", contentType, events: sseEvents(response.body) };
  }
  return { kind: "whole", contentType, body: new Uint8Array(await response.body.arrayBuffer()) };
}

/** The client's own bytes, unless the model is renamed or the operation does not stream and the body says it does. */
function requestBody(call: ModelCall, model: string | undefined): Uint8Array | string {
  const isOtherwise = !call.stream && call.request["stream"] === true;
  if (model === undefined && !isOtherwise) return call.body;
  const { stream_options: streamOptions, ...request } = call.request;
  return JSON.stringify({
    ...request,
    ...(model === undefined ? {} : { model }),
    ...(isOtherwise ? { stream: false } : { stream_options: streamOptions }),
  });
}

/** The model's error as the service's [inferred]; the model's text is kept, since it says what was wrong. */
function modelError(status: number, text: string): ServiceError {
  const message = `The model answered ${status}: ${text.slice(0, 1000)}`;
  if (status === 401 || status === 403) return new ServiceError("AccessDeniedException", message);
  if (status === 404) return new ServiceError("ResourceNotFoundException", message);
  if (status === 429) return new ServiceError("ThrottlingException", message);
  if (status >= 500) return new ServiceError("InternalServiceError", message);
  return new ServiceError("ValidationException", message);
}
