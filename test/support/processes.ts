/** @file Looks at other processes, by /proc, and at what rows of several processes have in common. */
import { readdirSync, readFileSync } from "node:fs";
import type { Result } from "../../src/measure/measurement.ts";

/** The children of a process whose command line has `word`. */
export function childrenOf(parent: number, word = "trial-worker"): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [state, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const isOwn = Number(ppid) === parent && state !== "Z";
      const line = readFileSync(`/proc/${name}/cmdline`, "utf8");
      return isOwn && line.includes(word) ? [Number(name)] : [];
    } catch {
      return []; // it has ended
    }
  });
}

/** The seconds of CPU time that a process has taken; 0 if there is none. */
export function cpuSecondsOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // utime and stime, of which Linux counts a hundred a second.
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0; // it has ended
  }
}

/** A row without what a clock decides. */
export function plainRow({ latency, delta, marks, ease, ...row }: Result) {
  const { seconds: _, ...others } = ease;
  const { speed: __, ...kept } = marks;
  return { ...row, ease: others, marks: kept, hasTimes: latency !== null && delta.infer !== null };
}
