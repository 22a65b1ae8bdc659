/** The gateway's route table (design.md, "Routes"). */
import { Hono } from "hono";
import { GatewayError, toGatewayError } from "../errors.ts";
import { type Corridor, chatCompletions } from "./chat-completions.ts";
import { errorResponse } from "./error-response.ts";

export interface AppParts {
  readonly corridor: Corridor;
  /** Routes below `/rollouts`. */
  readonly rollouts: Hono;
  /** `/v1/models` and its variants. */
  readonly models: Hono;
  /** Told of failures nobody foresaw. */
  readonly onInternalError: (error: GatewayError) => void;
}

/** Where another API would be: what to set instead (clients.md, "Who calls what by default"). */
const otherApis: Readonly<Record<string, string>> = {
  "/responses":
    'turnpike speaks chat completions only. In the OpenAI Agents SDK call set_default_openai_api("chat_completions") (Python) or setOpenAIAPI("chat_completions") (TypeScript); in the Vercel AI SDK use createOpenAICompatible(…) or openai.chat(…) in place of openai(…); in Codex CLI set wire_api = "chat".',
  "/messages":
    "turnpike speaks OpenAI's chat completions, not Anthropic's messages. Use an OpenAI-compatible client, or put a translating proxy in front.",
  "/messages/count_tokens":
    "turnpike speaks OpenAI's chat completions, not Anthropic's messages; it cannot count tokens.",
  "/completions":
    "turnpike speaks chat completions only: use /v1/chat/completions with `messages` in place of `prompt`.",
  "/embeddings":
    "The Job Runtime service has no embeddings: point the embedding client at another server.",
};

export function createApp(parts: AppParts): Hono {
  const app = new Hono({ strict: false });
  const turn = chatCompletions(parts.corridor);
  for (const prefix of ["", "/rollouts/:id"]) {
    for (const version of ["/v1", ""]) {
      app.post(`${prefix}${version}/chat/completions`, turn as never);
      for (const [path, advice] of Object.entries(otherApis)) {
        app.all(`${prefix}${version}${path}`, () => {
          throw new GatewayError("unsupported_endpoint", advice);
        });
      }
    }
  }
  app.route("/", parts.models);
  app.route("/", parts.rollouts);
  app.notFound((c) => errorResponse(noRoute(c.req.method, c.req.path)));
  app.onError((thrown) => {
    const error = toGatewayError(thrown);
    if (error.code === "internal") parts.onInternalError(error);
    return errorResponse(error);
  });
  return app;
}

function noRoute(method: string, path: string): GatewayError {
  if (/\/chat\/completions\/?$/.test(path)) {
    return new GatewayError(
      "method_not_allowed",
      `${method} is not allowed on chat completions; use POST.`,
    );
  }
  return new GatewayError(
    "not_found",
    `turnpike has no ${method} ${path.slice(0, 200)}. Chat completions are at POST /v1/chat/completions and POST /rollouts/{trajectory}/v1/chat/completions; check OPENAI_BASE_URL.`,
  );
}
