/** The machine, as the README has to name it. */
import { cpus, release, totalmem } from "node:os";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGigabytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly date: string;
}

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown CPU",
    cores: processors.length,
    memoryGigabytes: Math.round(totalmem() / 1e9),
    kernel: `Linux ${release()}`,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
  };
}
