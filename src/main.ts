#!/usr/bin/env node
/** Process entry: argv, environment, signals; nothing else. */
import module from "node:module";

// Before anything else is loaded, so that all of it comes from the cache next time. Where the cache's
// folder cannot be written this changes nothing.
module.enableCompileCache();

const stop = new AbortController();

/** The first signal asks for a graceful end; the second does not ask. */
function onSignal(signal: NodeJS.Signals, exitCode: number): void {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(exitCode);
    stop.abort(signal);
  });
}

function die(error: unknown): void {
  console.error(`turnpike: ${oneLine(error)}`);
  process.exit(1);
}

/** Errors of ours speak for themselves; a bug also says where it was. */
function oneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "StartError" || error.name === "GatewayError") return error.message;
  const place = error.stack?.split("\n").find((line) => line.startsWith("    at "));
  return `${error.name}: ${error.message}${place === undefined ? "" : ` (${place.trim()})`}`;
}

onSignal("SIGINT", 130);
onSignal("SIGTERM", 143);
process.on("uncaughtException", die);
process.on("unhandledRejection", die);

const { run } = await import("./cli.ts");
process.exit(
  await run(process.argv.slice(2), {
    environment: { ...process.env },
    stop: stop.signal,
    print: (text) => console.log(text),
    warn: (text) => console.error(text),
  }),
);
