import { version } from "../version.ts";

/** Sent to the service, unsigned; names the program, never the machine or the user. */
export const userAgent = `turnpike/${version}`;
