/** `turnpike doctor`: credentials → identity → endpoint → reachable → clock → state → ports, a line each. No call of it is a turn. */
import { loadConfigWithSources } from "../config/load.ts";
import type { CommandContext } from "./command.ts";
import { checkAws } from "./doctor/aws.ts";
import type { Finding } from "./doctor/finding.ts";
import { checkPorts, checkState } from "./doctor/machine.ts";
import { checkClock, checkService } from "./doctor/service.ts";

/** Prints every finding; the exit code is 1 where one of them is a failure. */
export async function runDoctor(context: CommandContext): Promise<number> {
  const loaded = loadConfigWithSources(context);
  const { config } = loaded;
  const [aws, service, state, ports] = await Promise.all([
    checkAws(config, context.environment),
    checkService(loaded),
    checkState(config),
    checkPorts(config),
  ]);
  const findings = [
    ...aws.findings,
    ...service.findings,
    checkClock(service.skewMs ?? aws.skewMs),
    state,
    ...ports,
  ];
  for (const finding of findings) context.print(line(finding));
  return findings.some(({ status }) => status === "fail") ? 1 : 0;
}

function line({ status, subject, text, advice }: Finding): string {
  const told = `${status.padEnd(4)}  ${subject.padEnd(11)}  ${text}`;
  return advice === undefined ? told : `${told}\n${" ".repeat(19)}→ ${advice}`;
}
