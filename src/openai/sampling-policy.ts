/** Which sampling parameters a turn is made with: the rollout's own, the operator's, or the agent's. */
import { enforceSampling, type SamplingParameters, type ShapedRequest } from "./sampling.ts";

/** The configuration's `sampling`. */
export interface SamplingSettings {
  readonly enforce: "always" | "when_given" | "never";
  readonly temperature: number | null;
  readonly top_p: number | null;
  readonly max_tokens: number | null;
  /** Put into every turn, whatever `enforce` says. */
  readonly model: string | null;
}

/** A turn without parameters costs the look-up of its trajectory and nothing else; `undefined` leaves it as it is. */
export type ShapeTurn = (
  turn: { readonly trajectoryId: string },
  request: { readonly parsed: Readonly<Record<string, unknown>> },
  body: Buffer,
) => ShapedRequest | undefined;

/** `samplingOf`: what the rollout request came with. `undefined` where no turn is ever changed. */
export function createSamplingPolicy(
  settings: SamplingSettings,
  samplingOf: (trajectoryId: string) => SamplingParameters | undefined,
): ShapeTurn | undefined {
  const { enforce, model } = settings;
  const own: SamplingParameters = {
    ...(enforce === "always" ? defaults(settings) : {}),
    ...(model === null ? {} : { model }),
  };
  const isOwnEmpty = Object.keys(own).length === 0;
  if (enforce === "never" && isOwnEmpty) return undefined;
  return ({ trajectoryId }, { parsed }, body) => {
    const given = enforce === "never" ? undefined : samplingOf(trajectoryId);
    if (given === undefined && isOwnEmpty) return undefined;
    return enforceSampling({ ...own, ...given }, parsed, body);
  };
}

function defaults({ temperature, top_p: topP, max_tokens }: SamplingSettings): SamplingParameters {
  return {
    ...(temperature === null ? {} : { temperature }),
    ...(topP === null ? {} : { topP }),
    ...(max_tokens === null ? {} : { maxTokens: max_tokens }),
  };
}
