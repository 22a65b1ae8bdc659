/** The keys of what runs rollouts: enforced sampling, auxiliary models, the ingress and its agent. */
import { z } from "zod";
import { count, endpointUrl, host, key, milliseconds, port } from "./key.ts";

export const sampling = z.strictObject({
  enforce: key(
    z.enum(["always", "when_given", "never"]).default("when_given"),
    "TURNPIKE_SAMPLING_ENFORCE",
    "Whose sampling parameters a turn is made with. `when_given`: those of the rollout request, where it came with any. `always`: the same, and the three below for what it left out. `never`: the agent's.",
  ),
  temperature: key(
    z.number().min(0).max(100).nullable().default(null),
    "TURNPIKE_SAMPLING_TEMPERATURE",
    "With sampling.enforce `always`: the temperature of turns whose rollout request gives none.",
  ),
  top_p: key(
    z.number().min(0).max(1).nullable().default(null),
    "TURNPIKE_SAMPLING_TOP_P",
    "With sampling.enforce `always`: the top_p of turns whose rollout request gives none.",
  ),
  max_tokens: key(
    count.max(10_000_000).nullable().default(null),
    "TURNPIKE_SAMPLING_MAX_TOKENS",
    "With sampling.enforce `always`: the most max_tokens and max_completion_tokens may be in turns whose rollout request gives no bound.",
  ),
  model: key(
    z.string().min(1).max(256).nullable().default(null),
    "TURNPIKE_SAMPLING_MODEL",
    "Model name put into every turn in place of the agent's, e.g. `default`; independent of sampling.enforce. None: the agent's.",
  ),
});

/** Another server for some models. */
const auxiliaryModel = z.strictObject({
  /** Model names; `*` stands for any text. */
  models: z.array(z.string().min(1).max(256)).min(1),
  /** `/chat/completions` is put behind it. */
  base_url: endpointUrl,
  /** The variable that holds the key; without one no key is sent. */
  api_key_env: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be a variable's name")
    .optional(),
});

export const auxiliary = key(
  z.array(auxiliaryModel).default([]),
  "TURNPIKE_AUXILIARY",
  'Models (judges, title generators) that another OpenAI-compatible server answers; such calls are no turns. A list of {models: ["gpt-4o*"], base_url: "https://api.openai.com/v1", api_key_env: "JUDGE_API_KEY"}; the first whose pattern fits counts. The variable takes JSON.',
);

export const ingress = z.strictObject({
  enabled: key(
    z.boolean().default(false),
    "TURNPIKE_INGRESS_ENABLED",
    "Take the trainer's rollout requests (POST /rollout, POST /invocations; GET /health, GET /ping) and run the agent for each.",
  ),
  host: key(
    host.default("127.0.0.1"),
    "TURNPIKE_INGRESS_HOST",
    "Address of the ingress. One that is not loopback needs server.api_keys or ingress.without_key.",
  ),
  port: key(
    port.default(8080),
    "TURNPIKE_INGRESS_PORT",
    "Port of the ingress; Bedrock AgentCore wants 8080. 0 takes a free one.",
  ),
  without_key: key(
    z.boolean().default(false),
    "TURNPIKE_INGRESS_WITHOUT_KEY",
    "Let requests to the ingress carry neither key nor known Host although server.api_keys are set or the address is not loopback: for AgentCore, which authenticates callers itself.",
  ),
  respond: key(
    z.enum(["accepted", "completed"]).default("accepted"),
    "TURNPIKE_INGRESS_RESPOND",
    "`accepted`: answer at once. `completed`: answer when completion and reward are delivered.",
  ),
  max_concurrent: key(
    count.max(10_000).default(96),
    "TURNPIKE_INGRESS_MAX_CONCURRENT",
    "Rollouts whose agent runs at once; the trainer's rollout_max_concurrency is 96.",
  ),
  max_queued: key(
    z.int().min(0).max(100_000).default(96),
    "TURNPIKE_INGRESS_MAX_QUEUED",
    "Rollouts that wait for their turn to run; one more is answered 429.",
  ),
  deadline_ms: key(
    milliseconds.default(540_000),
    "TURNPIKE_INGRESS_DEADLINE_MS",
    "From a rollout request's arrival to the end of its agent, in milliseconds; keep it below the trainer's rollout_timeout (600 s) so that there is time to report.",
  ),
});

export const agent = z.strictObject({
  url: key(
    endpointUrl.nullable().default(null),
    "TURNPIKE_AGENT_URL",
    "HTTP agent of the ingress: gets each rollout request by POST with a member `turnpike` added, answers {reward or rewards, status?}.",
  ),
  command: key(
    z.array(z.string().min(1)).default([]),
    "TURNPIKE_AGENT_COMMAND",
    "Program and arguments the ingress runs once per rollout, the request on its standard input. The variable takes JSON, or words separated by commas.",
  ),
  reward_command: key(
    z.string().min(1).nullable().default(null),
    "TURNPIKE_AGENT_REWARD_COMMAND",
    "With agent.command: shell command that gets the trajectory as JSON on its standard input and prints the reward. None: the last JSON line of the agent's own output is the reward.",
  ),
  on_failure: key(
    z.enum(["ready", "failed", "leave"]).default("ready"),
    "TURNPIKE_AGENT_ON_FAILURE",
    "What a crash, a timeout or an unreadable reward reports. `ready`: ready with reward 0.0, since one failed rollout can fail the whole job. `failed`: failed. `leave`: nothing, the trainer's own timeout decides.",
  ),
});
