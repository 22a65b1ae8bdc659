/** Reads of /proc: who used a core, and how much memory a process holds. */
import { readFileSync } from "node:fs";

const bytesPerMegabyte = 1_000_000;

export interface Memory {
  /** Resident now and at its highest, in MB (10^6 bytes). */
  readonly rss: number;
  readonly peak: number;
}

export function readMemory(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string) => {
    const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1];
    return (Number(kibibytes) * 1024) / bytesPerMegabyte;
  };
  return { rss: field("VmRSS"), peak: field("VmHWM") };
}

/** Ticks (1/100 s) since boot or since the process's start. */
export interface CpuTicks {
  readonly process: number;
  /** In programs or taken away by the hypervisor; interrupts are left out, being nobody's. */
  readonly coreBusy: number;
  readonly coreIdle: number;
  readonly coreTotal: number;
}

export function readCpuTicks(pid: number, core: number): CpuTicks {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The command name may hold spaces, so count from its closing bracket: utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const line = new RegExp(`^cpu${core} (.*)$`, "m").exec(readFileSync("/proc/stat", "utf8"))?.[1];
  const counters = (line ?? "").split(" ").map(Number).slice(0, 8);
  const [user = 0, nice = 0, system = 0, idle = 0, ioWait = 0, , , stolen = 0] = counters;
  return {
    process: Number(fields[11]) + Number(fields[12]),
    coreBusy: user + nice + system + stolen,
    coreIdle: idle + ioWait,
    coreTotal: counters.reduce((sum, ticks) => sum + ticks, 0),
  };
}

export interface CpuShare {
  /** Of the core's time, what the process used. */
  readonly process: number;
  /** Of the core's time, what other processes and other guests of the host used: noise. */
  readonly others: number;
  /** Of the core's time, what nobody used. */
  readonly idle: number;
}

/** What became of the core's time between two readings. */
export function cpuShare(before: CpuTicks, after: CpuTicks): CpuShare {
  const total = Math.max(1, after.coreTotal - before.coreTotal);
  const own = after.process - before.process;
  const others = Math.max(0, after.coreBusy - before.coreBusy - own);
  const idle = after.coreIdle - before.coreIdle;
  return { process: own / total, others: others / total, idle: idle / total };
}
