/** @file Latency of several models side by side: interleaved, so that whatever else the machine does hits all alike. */
import { errors, fail } from "../errors.ts";
import { createRandom } from "../numeric/random.ts";
import { type Interval, median, medianInterval, quantile } from "../numeric/statistics.ts";
import type { Platform } from "../platform.ts";
import type { Latency } from "./measurement.ts";

export interface Timed {
  readonly name: string;
  /** One inference, with its feeds made ready beforehand. */
  readonly run: () => Promise<unknown>;
}

export interface LatencyOptions {
  readonly platform: Pick<Platform, "wallMs" | "cpuMs">;
  /** Rounds that always run and rounds at most; each round times one block of every candidate. */
  readonly minRuns?: number;
  readonly maxRuns?: number;
  /** Wall time after which no further round starts, once `minRuns` are done. */
  readonly budgetMs?: number;
  /** Untimed runs of each candidate. */
  readonly warmup?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (rounds: number, maxRuns: number) => void;
}

/** How many times faster than the first candidate (above 1 is faster): the survey's delta = s / s*. */
export interface Speedup {
  readonly value: number;
  readonly ci95: Interval | null;
}

export interface Timing {
  readonly name: string;
  /** `n` counts runs, over all blocks; median and p90 are over blocks. */
  readonly latency: Pick<Latency, "median" | "p90" | "cpu" | "n">;
  /** Against the first candidate, by wall time; 1 for the first itself. */
  readonly ratio: Speedup;
  /** The same by process-CPU time, which a busy machine disturbs less; null where there is no such clock. */
  readonly cpuRatio: Speedup | null;
}

/** Runs shorter than this are timed several at a time: clocks tick in microseconds, CPU time coarser. */
const blockMs = 5;

/**
 * Every round times one block of each candidate, in a shuffled order: what runs before a model moves
 * it (caches, clock rates), so everyone gets every predecessor. Medians over rounds; a ratio is the
 * median over rounds of the paired t_first / t, with the sign test's 95 % interval (no distribution
 * assumed; null below six rounds).
 */
export async function measureLatency(
  candidates: readonly Timed[],
  options: LatencyOptions,
): Promise<Timing[]> {
  const { platform, signal, minRuns = 10, maxRuns = 200, budgetMs = 2000, warmup = 3 } = options;
  const check = () => {
    if (signal?.aborted) throw fail(errors.aborted("latency"));
  };
  const started = platform.wallMs();
  const blocks: number[] = [];
  for (const { run } of candidates) {
    for (let i = 0; i < warmup; i++) {
      check();
      await run();
    }
    blocks.push(await calibrate(run, platform, check));
  }
  const wall = candidates.map((): number[] => []);
  const cpu = candidates.map((): number[] => []);
  const random = createRandom(0);
  const order = [...candidates.keys()];
  for (let round = 0; round < maxRuns; round++) {
    if (round >= minRuns && platform.wallMs() - started > budgetMs) break;
    for (const i of random.shuffle(order)) {
      check();
      if (blocks[i] > 1) await candidates[i].run(); // warms the caches again, not timed
      const cpuStart = platform.cpuMs();
      const wallStart = platform.wallMs();
      for (let k = 0; k < blocks[i]; k++) await candidates[i].run();
      wall[i].push((platform.wallMs() - wallStart) / blocks[i]);
      const cpuEnd = platform.cpuMs();
      if (cpuStart !== null && cpuEnd !== null) cpu[i].push((cpuEnd - cpuStart) / blocks[i]);
    }
    options.onProgress?.(round + 1, maxRuns);
  }
  return candidates.map(({ name }, i) => ({
    name,
    latency: {
      median: median(wall[i]),
      p90: quantile(wall[i], 0.9),
      cpu: cpu[i].length > 0 ? median(cpu[i]) : null,
      n: wall[i].length * blocks[i],
    },
    ratio: speedup(wall[0], wall[i]),
    cpuRatio: cpu[i].length > 0 ? speedup(cpu[0], cpu[i]) : null,
  }));
}

/**
 * Runs per block, from the fastest of three trials and by CPU time where there is such a clock: a
 * disturbed trial gives a shorter block, and of two equal models the one with the shorter block
 * would look slower, having fewer runs on warm caches.
 */
async function calibrate(
  run: Timed["run"],
  platform: LatencyOptions["platform"],
  check: () => void,
): Promise<number> {
  let fastest = Infinity;
  for (let trial = 0; trial < 3; trial++) {
    for (let runs = 1, elapsed = 0; elapsed < blockMs; runs *= 2) {
      check();
      const cpu = platform.cpuMs();
      const wall = platform.wallMs();
      for (let k = 0; k < runs; k++) await run();
      elapsed = platform.wallMs() - wall;
      // A tenth of the wall time bounds the search for runs that wait more than they compute.
      if (cpu !== null) elapsed = Math.max((platform.cpuMs() ?? cpu) - cpu, elapsed / 10);
      if (elapsed >= blockMs) fastest = Math.min(fastest, elapsed / runs);
    }
  }
  return Math.ceil(blockMs / fastest);
}

function speedup(first: readonly number[], other: readonly number[]): Speedup {
  const ratios = first.map((t, round) => t / other[round]);
  return { value: median(ratios), ci95: medianInterval(ratios) };
}
