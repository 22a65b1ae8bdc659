/** One line of `turnpike doctor`. */
export interface Finding {
  readonly status: "ok" | "warn" | "fail";
  /** `credentials`, `endpoint`, … */
  readonly subject: string;
  readonly text: string;
  /** What to do; every warn and fail has it. */
  readonly advice?: string;
}

/** All is well. */
export function ok(subject: string, text: string): Finding {
  return { status: "ok", subject, text };
}

/** It may work, but somebody should know. */
export function warn(subject: string, text: string, advice: string): Finding {
  return { status: "warn", subject, text, advice };
}

/** Turns will fail like this. */
export function fail(subject: string, text: string, advice: string): Finding {
  return { status: "fail", subject, text, advice };
}
