/** A gateway as `exec` talks to it: register, look, complete; its own or another one's, over HTTP either way. */
import { Agent, request } from "undici";
import type { JsonObject } from "../rollout-requests/fields.ts";
import type { Report } from "./agent-conclusion.ts";

/** What POST /rollouts answers, as far as it matters here. */
export interface Registered {
  readonly id: string;
  readonly job_arn: string;
  readonly api_key: string | null;
  readonly prompt: unknown;
  readonly instance: unknown;
  readonly env: Readonly<Record<string, string>>;
}

/** A gateway refused, or could not be asked. The message is for people. */
export class GatewayRefusal extends Error {
  override readonly name = "GatewayRefusal";
}

export class GatewayClient implements AsyncDisposable {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  // A completion may be waited for as long as it is delivered: undici's own limit is 300 s.
  readonly #agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

  /** `apiKey`: one of the gateway's server.api_keys, where it asks for one. */
  constructor(url: string, apiKey: string | undefined) {
    this.#url = url.replace(/\/+$/, "").replace(/\/v1$/, "");
    this.#headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  }

  async register(body: JsonObject): Promise<Registered> {
    const { json } = await this.#call("/rollouts", { body });
    return json as unknown as Registered;
  }

  /** The rollout as GET /rollouts/{id} shows it. */
  async view({ id, job_arn: jobArn }: Registered): Promise<JsonObject> {
    const { json } = await this.#call(`/rollouts/${encodeURIComponent(id)}`, { jobArn });
    return json;
  }

  /** Waits for the delivery. `false`: it is stored there, and still under way. */
  async complete(
    { id, job_arn: jobArn }: Registered,
    { status, reward }: Report,
  ): Promise<boolean> {
    const answer = await this.#call(`/rollouts/${encodeURIComponent(id)}/complete`, {
      jobArn,
      body: { status, ...reward },
      headers: { prefer: "wait=600" },
    });
    return answer.status !== 202;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  async #call(path: string, { body, jobArn, headers = {} }: Call): Promise<Answer> {
    const { statusCode, body: stream } = await request(`${this.#url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        ...this.#headers,
        ...headers,
        ...(jobArn === undefined ? {} : { "x-amzn-sagemaker-job-arn": jobArn }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      dispatcher: this.#agent,
    }).catch((cause: Error) => {
      const text = `the gateway ${this.#url} cannot be reached: ${cause.message || cause.name}`;
      throw new GatewayRefusal(text, { cause });
    });
    const text = await stream.text();
    const json = parsed(text);
    if (statusCode < 300 && json !== undefined) return { status: statusCode, json };
    const message = (json?.["error"] as JsonObject | undefined)?.["message"];
    throw new GatewayRefusal(
      typeof message === "string"
        ? message
        : `the gateway ${this.#url} answered ${statusCode}: ${text.slice(0, 200)}`,
    );
  }
}

interface Call {
  readonly body?: JsonObject;
  readonly jobArn?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Answer {
  readonly status: number;
  readonly json: JsonObject;
}

function parsed(text: string): JsonObject | undefined {
  try {
    return JSON.parse(text) as JsonObject;
  } catch {
    return undefined;
  }
}
