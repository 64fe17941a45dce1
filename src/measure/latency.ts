/** @file Latency of several models, timed in turn: other load on the machine affects all alike. */
import { errors, fail } from "../errors.ts";
import { createRandom } from "../numeric/random.ts";
import { type Interval, median, medianInterval, quantile } from "../numeric/statistics.ts";
import type { Platform } from "../platform.ts";
import type { Latency } from "./measurement.ts";

/** A candidate to be timed. */
export interface Timed {
  readonly name: string;
  /** Runs the model once; only the inference itself, with feeds prepared beforehand. */
  readonly run: () => Promise<unknown>;
}

/** Clocks, and how long to measure. */
export interface LatencyOptions {
  readonly platform: Pick<Platform, "wallMs" | "cpuMs">;
  /** Least number of rounds (default 10); each round times one block of runs of every candidate. */
  readonly minRuns?: number;
  /** Largest number of rounds (default 200). */
  readonly maxRuns?: number;
  /** Wall time after which no further round starts, once `minRuns` are done (default 2000). */
  readonly budgetMs?: number;
  /** Untimed runs of each candidate before anything is timed (default 3). */
  readonly warmup?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (rounds: number, maxRuns: number) => void;
}

/**
 * How many times as fast as the first candidate (above 1 is faster): the survey's delta = s / s*.
 */
export interface Speedup {
  readonly value: number;
  /** 95 % interval of `value`; null below six rounds. */
  readonly ci95: Interval | null;
}

/** The measurements of one candidate. */
export interface Timing {
  readonly name: string;
  /**
   * Milliseconds per run: median and p90 are taken over blocks; `n` counts the runs of all blocks.
   */
  readonly latency: Pick<Latency, "median" | "p90" | "cpu" | "n">;
  /** Speed-up over the first candidate, by wall time; 1 for the first itself. */
  readonly ratio: Speedup;
  /**
   * The same by process CPU time, which a busy machine disturbs less; null where the platform has
   * no such clock.
   */
  readonly cpuRatio: Speedup | null;
}

/**
 * Least duration of a block. Shorter runs are timed several at a time, because clocks count in
 * microseconds and the one for CPU time is coarser still.
 */
const blockMs = 5;

/**
 * Times the candidates in rounds. Each round times one block of runs of every candidate, in a
 * shuffled order, because a model's time depends on what ran before it (caches, clock rates).
 * Latencies are medians over rounds. A speed-up is the median over rounds of t_first / t within the
 * round, with the 95 % interval of the sign test, which assumes no distribution. Throws TersorError
 * "aborted" and what a candidate's `run` throws.
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
      if (blocks[i] > 1) await candidates[i].run(); // warms the caches again; not timed
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
 * The number of runs in a block of at least `blockMs`: from the fastest of three trials, by CPU
 * time where the platform has such a clock. A trial that other load disturbs would give a shorter
 * block, and of two equal models the one with the shorter block would look slower, because fewer of
 * its runs find warm caches.
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
      // A run that mostly waits uses hardly any CPU time. Counting at least a tenth of the wall
      // time ends the search for such runs too.
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
