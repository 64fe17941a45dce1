/** @file Latency of several models, timed in turn: other load on the machine affects all alike. */
import type { Speedup } from "../context.ts";
import { errors, fail } from "../errors.ts";
import { createRandom } from "../numeric/random.ts";
import { median, medianInterval, quantile } from "../numeric/statistics.ts";
import type { Platform } from "../platform.ts";
import { type Clock, type ClockKind, clocksFor } from "./clock.ts";
import type { Latency } from "./measurement.ts";

export type { Speedup } from "../context.ts";

/** A candidate to be timed. */
export interface Timed {
  readonly name: string;
  /** Runs the model once; only the inference itself, with feeds prepared beforehand. */
  readonly run: () => Promise<unknown>;
  /** Opens the model anew, so that later runs are those of another session. */
  readonly renew?: () => Promise<void>;
}

/** Clocks, and how long to measure. */
export interface LatencyOptions {
  readonly platform: Pick<Platform, "wallMs" | "cpuMs">;
  /** Engine threads of the runs (default 1), which decide the clock: see `clocksFor`. */
  readonly threads?: number;
  /**
   * The clock of an earlier timing, with which this one is compared. Without it, the wall clock
   * counts for runs of few steps of the CPU clock, because its steps are finer.
   */
  readonly clock?: ClockKind | undefined;
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

/** The measurements of one candidate. */
export interface Timing {
  readonly name: string;
  /**
   * Milliseconds of single runs. The first candidate's are as they were read. The median of every
   * other is the first's divided by `ratio`, and its p90 is that many times its median as in its
   * own runs. So times and speed-ups agree, although medians of different series would not.
   */
  readonly latency: Pick<Latency, "median" | "p90" | "clock" | "n">;
  /** Speed-up over the first candidate; 1 for the first itself. */
  readonly ratio: Speedup;
  /** Mean milliseconds per run in each round of each sitting, as they were read. */
  readonly rounds: readonly (readonly number[])[];
}

/**
 * Least duration of a block. Shorter runs are timed several at a time, because what a run takes
 * depends on what ran before it, and ratios of single short runs scatter.
 */
const blockMs = 5;
/** Single runs of fewer steps of the clock than this are not told apart. */
const fewestSteps = 10;
/** A clock is preferred for runs of at least twice as many: those compared with them may be faster. */
const fewestCpuSteps = 2 * fewestSteps;
/** Sittings, of which each has sessions of its own. */
const sittings = 9;
/** Least number of rounds in a sitting. */
const fewestRounds = 3;

/**
 * Times the candidates in rounds. Each round times one block of runs of every candidate, in a
 * shuffled order, because a model's time depends on what ran before it (caches, clock rates). A
 * speed-up is the median over rounds of t_first / t within the round, t a block's mean, with the 95 %
 * interval of the sign test, which assumes no distribution.
 *
 * How fast a session is depends by some percent on where its memory lies, so that two sessions of the
 * same model differ, and all rounds of one pair of sessions agree on a difference that is none.
 * Candidates with `renew` are therefore opened anew for each of nine sittings, if that takes at most
 * half of the time, and the sign test is made on the sittings' medians.
 *
 * Median and p90 are those of the single runs in the blocks; where the clock's steps are too large
 * for that, the median is that of the blocks' means and the p90 null. Throws TersorError "aborted"
 * and what a candidate's `run` throws.
 */
export async function measureLatency(
  candidates: readonly Timed[],
  options: LatencyOptions,
): Promise<Timing[]> {
  const { platform, threads = 1, signal } = options;
  const { minRuns = 10, maxRuns = 200, budgetMs = 2000, warmup = 3 } = options;
  const check = () => {
    if (signal?.aborted) throw fail(errors.aborted("latency"));
  };
  const known = clocksFor(platform, threads);
  const wanted = known.filter(({ kind }) => kind === options.clock);
  const clocks = wanted.length > 0 ? wanted : known;
  const started = platform.wallMs();
  const sizes: number[] = [];
  for (const { run } of candidates) {
    for (let i = 0; i < warmup; i++) {
      check();
      await run();
    }
    sizes.push(await blockSize(run, platform, clocks[0], check));
  }
  const series = clocks.map((clock) => seriesOf(clock, candidates.length));
  const [[first]] = series.map(({ rounds }) => rounds);
  const random = createRandom(0);
  const order = [...candidates.keys()];
  const began = platform.wallMs();
  const time = budgetMs - (began - started);
  let renews = candidates.some(({ renew }) => renew);
  for (let round = 0; round < maxRuns; round++) {
    if (round >= minRuns && platform.wallMs() - started > budgetMs) break;
    const spent = platform.wallMs() - began;
    const { length: sitting } = first;
    const own = first[sitting - 1].length;
    if (round === fewestRounds && spent * sittings > time) renews = false;
    const isOver = spent >= (time * sitting) / sittings || own >= maxRuns / sittings;
    if (renews && isOver && own >= fewestRounds && sitting < sittings) {
      for (const { renew, run } of candidates) {
        check();
        await renew?.();
        for (let i = 0; i < warmup; i++) await run();
      }
      beginSitting(series);
      const took = platform.wallMs() - began - spent;
      if (took * (sittings - 1) > time / 2) renews = false;
    }
    for (const i of random.shuffle(order)) {
      check();
      const { run } = candidates[i];
      if (sizes[i] > 1) await run(); // warms the caches again; not timed
      const blocks = await timeBlock(run, sizes[i], clocks);
      for (const [c, block] of blocks.entries()) addBlock(series[c], i, block);
    }
    options.onProgress?.(round + 1, maxRuns);
  }
  return timingsOf(candidates, series);
}

/** What was measured, by the first clock that is fine enough, else by the last. */
function timingsOf(candidates: readonly Timed[], series: readonly Series[]): Timing[] {
  const isFineFor = ({ clock, rounds }: Series, steps: number): boolean =>
    clock.step * steps <= Math.min(...rounds.map((own) => median(own.flat())));
  const chosen = series.find((own) => isFineFor(own, fewestCpuSteps)) ?? series[series.length - 1];
  const { clock, singles, rounds } = chosen;
  const means = rounds.map((own) => own.flat());
  const isFine = isFineFor(chosen, fewestSteps);
  const middles = (isFine ? singles : means).map(median);
  return candidates.map(({ name }, i) => {
    const ratio = pairedSpeedup(rounds[0], rounds[i]);
    const ms = i === 0 ? middles[0] : middles[0] / ratio.value;
    const p90 = isFine ? (quantile(singles[i], 0.9) * ms) / middles[i] : null;
    const latency = { median: ms, p90, clock: clock.kind, n: singles[i].length };
    return { name, latency, ratio, rounds: rounds[i] };
  });
}

/** How many times as fast as `first` the other is, of two candidates that were timed together. */
export function speedupOver(first: Timing, other: Timing): Speedup {
  return pairedSpeedup(first.rounds, other.rounds);
}

/** From the medians of the sittings if they are enough for an interval, else from all rounds. */
function pairedSpeedup(first: Timing["rounds"], other: Timing["rounds"]): Speedup {
  const ratios = first.map((sitting, s) => sitting.map((t, round) => t / other[s][round]));
  const medians = ratios.map(median);
  const ci95 = medianInterval(medians);
  if (ci95) return { value: median(medians), ci95 };
  const all = ratios.flat();
  return { value: median(all), ci95: medianInterval(all) };
}

/** What one clock says of all candidates. */
interface Series {
  readonly clock: Clock;
  /** Milliseconds of single runs, by candidate. */
  readonly singles: readonly number[][];
  /** Means of blocks by candidate, sitting and round. */
  readonly rounds: readonly number[][][];
}

function beginSitting(series: readonly Series[]): void {
  for (const { rounds } of series) for (const own of rounds) own.push([]);
}

/** Adds the runs of one block of candidate `i`. */
function addBlock({ singles, rounds }: Series, i: number, block: readonly number[]): void {
  for (const ms of block) singles[i].push(ms);
  const mean = block.reduce((sum, ms) => sum + ms, 0) / block.length;
  rounds[i][rounds[i].length - 1].push(mean);
}

const seriesOf = (clock: Clock, candidates: number): Series => ({
  clock,
  singles: Array.from({ length: candidates }, () => []),
  rounds: Array.from({ length: candidates }, () => [[]]),
});

/**
 * Milliseconds of each of `size` runs by each clock. The last one, which takes least time, is read
 * next to the runs.
 */
async function timeBlock(
  run: Timed["run"],
  size: number,
  clocks: readonly Clock[],
): Promise<number[][]> {
  const times = clocks.map((): number[] => []);
  const inward = [...clocks.keys()];
  const outward = inward.toReversed();
  const before = clocks.map(() => 0);
  for (let k = 0; k < size; k++) {
    for (const c of inward) before[c] = clocks[c].now();
    await run();
    for (const c of outward) {
      times[c].push(Math.max(0, clocks[c].now() - before[c] - clocks[c].reading));
    }
  }
  return times;
}

/**
 * The number of runs in a block of at least `blockMs`, from the fastest of three trials. A trial
 * that other load disturbs would give a shorter block, and of two equal models the one with the
 * shorter block would look slower, because fewer of its runs find warm caches.
 */
async function blockSize(
  run: Timed["run"],
  platform: LatencyOptions["platform"],
  clock: Clock,
  check: () => void,
): Promise<number> {
  let fastest = Infinity;
  for (let trial = 0; trial < 3; trial++) {
    for (let runs = 1, elapsed = 0; elapsed < blockMs; runs *= 2) {
      check();
      const wall = platform.wallMs();
      const start = clock.now();
      for (let k = 0; k < runs; k++) await run();
      // A run that mostly waits uses hardly any CPU time. Counting at least a tenth of the wall
      // time ends the search for such runs too.
      elapsed = Math.max(clock.now() - start, (platform.wallMs() - wall) / 10);
      if (elapsed >= blockMs) fastest = Math.min(fastest, elapsed / runs);
    }
  }
  return Math.ceil(blockMs / fastest);
}
