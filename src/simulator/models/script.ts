/** Scripts of the scripted model: what to answer when, given inline or as a JSON or YAML file. */
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { z } from "zod";

const toolCallSchema = z.strictObject({
  name: z.string().min(1),
  /** An object is serialised; a string goes out as it is, also when it is not JSON. Default `{}`. */
  arguments: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
  /** Default: made from the request. */
  id: z.string().min(1).optional(),
});

const stepSchema = z
  .strictObject({
    /** All of what is given must hold; a step without `when` always matches. */
    when: z
      .strictObject({
        /** The trajectory's turn, from 1. */
        turn: z.int().min(1).optional(),
        /** A substring of the last user or tool message. */
        contains: z.string().min(1).optional(),
      })
      .optional(),
    content: z.string().optional(),
    /** More than one: parallel calls. */
    tool_calls: z.array(toolCallSchema).min(1).optional(),
    /** Default: `tool_calls` where there are any, else `stop`. */
    finish_reason: z.string().min(1).optional(),
  })
  .refine((step) => step.content !== undefined || step.tool_calls !== undefined, {
    error: "a step needs content, tool_calls or both",
  });

const scriptSchema = z.strictObject({ steps: z.array(stepSchema).min(1) });

/** Steps in order; the first that matches a turn is its answer, and with none the built-in behaviour is. */
export type Script = z.input<typeof scriptSchema>;
export type ScriptStep = Script["steps"][number];
export type ScriptToolCall = z.input<typeof toolCallSchema>;

/** Checks a script; throws an error that lists everything wrong, `name` first. */
export function checkScript(script: unknown, name = "script"): Script {
  const result = scriptSchema.safeParse(script);
  if (result.success) return result.data;
  throw new Error(`${name} is not a script of the simulator:\n${z.prettifyError(result.error)}`);
}

/** Reads a script from a JSON or YAML file. */
export async function loadScript(path: string): Promise<Script> {
  let parsed: unknown;
  try {
    parsed = parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new Error(`The script file ${path} cannot be read as JSON or YAML: ${String(error)}`, {
      cause: error,
    });
  }
  return checkScript(parsed, path);
}

/** The first step for this turn. */
export function matchingStep(
  script: Script,
  turn: number,
  lastText: string,
): ScriptStep | undefined {
  return script.steps.find(
    ({ when }) =>
      (when?.turn === undefined || when.turn === turn) &&
      (when?.contains === undefined || lastText.includes(when.contains)),
  );
}
