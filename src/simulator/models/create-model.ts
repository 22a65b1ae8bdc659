/** The model that the options ask for. */
import type { Model } from "./model.ts";
import { checkScript, loadScript, type Script } from "./script.ts";
import { createScriptedModel } from "./scripted.ts";
import { createUpstreamModel, type UpstreamModelOptions } from "./upstream.ts";

export type ModelOptions =
  | {
      readonly kind: "scripted";
      readonly script?: Script;
      /** A JSON or YAML file; read once, at the start. */
      readonly scriptFile?: string;
    }
  | ({ readonly kind: "upstream" } & UpstreamModelOptions);

/** Makes the model; rejects when its script is not one. */
export async function createModel(options: ModelOptions, clock: () => number): Promise<Model> {
  if (options.kind === "upstream") return createUpstreamModel(options);
  if (options.script !== undefined && options.scriptFile !== undefined) {
    throw new Error("The scripted model takes a script or a scriptFile, not both.");
  }
  const script =
    options.scriptFile === undefined
      ? options.script && checkScript(options.script)
      : await loadScript(options.scriptFile);
  return createScriptedModel({ clock, ...(script === undefined ? {} : { script }) });
}
