/** What is known of a rollout besides its turns: how it was asked for, what was enforced, how its agent ended. */
import type { SamplingChange, SamplingParameters } from "../openai/sampling.ts";

/** How the rollout was asked for. Plain data. */
export interface Registration {
  /** Of the whole request: the same id again must mean the same. */
  readonly digest: string;
  /** The trainer's inference parameters; empty where it gave none. */
  readonly sampling: SamplingParameters;
}

/** How an agent that turnpike ran has ended. */
export type AgentOutcome =
  /** With an answer or exit code that says so. */
  | "finished"
  /** With another exit code, a signal, an HTTP error or a broken connection. */
  | "crashed"
  /** Beyond its deadline; it was ended. */
  | "timed_out"
  /** With an answer or a reward that cannot be read. */
  | "invalid_answer"
  /** turnpike ended before it did. */
  | "interrupted";

export interface AgentRun {
  readonly outcome: AgentOutcome;
  /** What happened, in a sentence. */
  readonly detail: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly durationMs: number;
}

interface Enforcement {
  turns: number;
  last: SamplingChange;
}

/** As JSON has it. */
export interface SavedNotes {
  readonly registration?: Registration;
  readonly agent?: AgentRun;
  readonly auxiliaryCalls: number;
  readonly auxiliaryFailures: number;
  readonly enforced: readonly [SamplingChange["parameter"], Enforcement][];
}

export class RolloutNotes {
  registration: Registration | undefined;
  agent: AgentRun | undefined;
  /** Calls that went to an auxiliary model in this rollout's name. */
  auxiliaryCalls = 0;
  /** … those of them that got no whole answer. */
  auxiliaryFailures = 0;
  /** Made with the first change: most rollouts have none. */
  #enforced: Map<SamplingChange["parameter"], Enforcement> | undefined;

  noteChanges(changes: readonly SamplingChange[]): void {
    this.#enforced ??= new Map();
    for (const change of changes) {
      const known = this.#enforced.get(change.parameter);
      if (known === undefined) this.#enforced.set(change.parameter, { turns: 1, last: change });
      else {
        known.turns += 1;
        known.last = change;
      }
    }
  }

  /** For the store; `undefined` where nothing is known. */
  saved(): SavedNotes | undefined {
    const { registration, agent, auxiliaryCalls, auxiliaryFailures } = this;
    const isEmpty =
      registration === undefined && agent === undefined && auxiliaryCalls === 0 && !this.#enforced;
    if (isEmpty) return undefined;
    return {
      ...(registration === undefined ? {} : { registration }),
      ...(agent === undefined ? {} : { agent }),
      auxiliaryCalls,
      auxiliaryFailures,
      enforced: [...(this.#enforced ?? [])],
    };
  }

  restore(saved: SavedNotes): void {
    this.registration = saved.registration;
    this.agent = saved.agent;
    this.auxiliaryCalls = saved.auxiliaryCalls;
    this.auxiliaryFailures = saved.auxiliaryFailures;
    if (saved.enforced.length > 0) this.#enforced = new Map(saved.enforced);
  }

  view(): RolloutNotesView {
    const { registration, agent, auxiliaryCalls, auxiliaryFailures } = this;
    const enforced = [...(this.#enforced ?? [])].map(([parameter, { turns, last }]) => [
      parameter,
      { turns, asked: last.asked, sent: last.sent },
    ]);
    return {
      inference_params: registration === undefined ? null : viewSampling(registration.sampling),
      enforced: Object.fromEntries(enforced),
      auxiliary: { calls: auxiliaryCalls, failed: auxiliaryFailures },
      agent:
        agent === undefined
          ? null
          : {
              outcome: agent.outcome,
              detail: agent.detail,
              at: new Date(agent.at).toISOString(),
              duration_ms: Math.round(agent.durationMs),
            },
    };
  }
}

/** The trainer's inference parameters as our answers show them; `null` where there are none. */
export interface InferenceParamsView {
  readonly temperature?: number;
  readonly top_p?: number;
  readonly max_tokens?: number;
}

export function viewSampling(sampling: SamplingParameters): InferenceParamsView | null {
  const { temperature, topP, maxTokens } = sampling;
  const view = {
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { top_p: topP }),
    ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
  };
  return Object.keys(view).length === 0 ? null : view;
}

export interface RolloutNotesView {
  readonly inference_params: InferenceParamsView | null;
  /** By parameter: in how many turns it was changed, and what the last change was. */
  readonly enforced: Readonly<
    Record<string, { readonly turns: number } & Omit<SamplingChange, "parameter">>
  >;
  readonly auxiliary: { readonly calls: number; readonly failed: number };
  readonly agent: {
    readonly outcome: AgentOutcome;
    readonly detail: string;
    readonly at: string;
    readonly duration_ms: number;
  } | null;
}
