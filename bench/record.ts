/**
 * @file The results of a bench, results/NAME.json: what each CPU gave, under the CPU's name. Times of
 * one CPU say nothing of another's, so a run replaces what the same CPU gave before and nothing else.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";

/** What each CPU gave; the CPU of the latest run comes last. */
export type Runs<T> = Readonly<Record<string, T>>;

const results = fileURLToPath(new URL("results/", import.meta.url));

/** The name of this machine's CPU, as the operating system gives it. */
export const ownCpu = cpus()[0]?.model.trim() ?? "unknown";

/** What all CPUs gave; empty if the bench has not been run. */
export function readRuns<T>(name: string, folder = results): Runs<T> {
  const file = `${folder}${name}.json`;
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
}

/** What this CPU gave, from which a bench that runs in part keeps the other parts; null if nothing. */
export function readRun<T>(name: string, folder = results, cpu = ownCpu): T | null {
  const runs = readRuns<T>(name, folder);
  return Object.hasOwn(runs, cpu) ? runs[cpu] : null;
}

/** Writes what this CPU gave beside what others did. */
export function writeRun(name: string, result: object, folder = results, cpu = ownCpu): void {
  const { [cpu]: _, ...others } = readRuns<object>(name, folder);
  mkdirSync(folder, { recursive: true });
  const file = `${folder}${name}.json`;
  writeFileSync(file, `${JSON.stringify({ ...others, [cpu]: result }, null, 1)}\n`);
}
