/** What schemas of keys are made of: a type, its variables, its description; and the types that several keys share. */
import { z } from "zod";
import { exampleJobArn, isJobArn } from "../job-arn.ts";

/** Where a key's value may come from besides the file. */
export interface KeyMeta {
  /** The environment variable of this key. */
  readonly env: string;
  /** Other people's names for the same thing, read in this order where `env` is not set. */
  readonly alsoEnv?: readonly string[];
  /** Shown in the example, the JSON Schema and in errors. */
  readonly description: string;
  /** Never printed, not by check-config and not in an error. */
  readonly secret?: boolean;
}

/** One variable, or turnpike's own followed by the established ones it gives way to. */
type Variables = string | readonly [string, ...string[]];

export function key<T extends z.ZodType>(type: T, variables: Variables, description: string): T {
  return type.meta({ ...named(variables), description });
}

export function secretKey<T extends z.ZodType>(
  type: T,
  variables: Variables,
  description: string,
): T {
  return type.meta({ ...named(variables), description, secret: true });
}

function named(variables: Variables): Pick<KeyMeta, "env" | "alsoEnv"> {
  if (typeof variables === "string") return { env: variables };
  const [env, ...alsoEnv] = variables;
  return { env, alsoEnv };
}

export const host = z.string().min(1).max(255);
export const port = z.int().min(0).max(65_535);
export const milliseconds = z.int().min(1).max(86_400_000);
export const count = z.int().min(1);

export const jobArn = z
  .string()
  .refine(isJobArn, { error: `must be a job ARN such as ${exampleJobArn}` });

export const httpUrl = z.url({ protocol: /^https?$/ });

/** One that requests are signed for: what is not scheme, host, port and path has no place in it. */
export const endpointUrl = httpUrl.refine(
  (text) => {
    const url = URL.parse(text);
    return url === null || `${url.username}${url.password}${url.search}${url.hash}` === "";
  },
  { error: "must be an http or https URL without user, query and fragment" },
);
