/** @file The training loop: reads batches, collects gradients, updates parameters. */
import { createRandom, type Random } from "../numeric/random.ts";
import { updateRunning } from "./batch-norm.ts";
import { type Chunk, chunksOf, gradientOf, type StepSession } from "./chunks.ts";
import { createGuard } from "./guard.ts";
import {
  average,
  clip,
  norm,
  type OptimizerId,
  optimizers,
  type Segment,
  startState,
} from "./optimizers.ts";
import { clampToBounds, flatten, type Parameter, prunedPlaces } from "./parameters.ts";
import { rateFactor, type ScheduleId } from "./schedules.ts";
import { type ComputeChoice, decodeState, encodeState, type TrainState } from "./state.ts";
import type { RunningStatistics, StepGraph } from "./step.ts";

export interface LoopOptions {
  /** Total number of steps; see `stepsPerEpoch`. */
  readonly steps: number;
  /** Records per step; the last step of an epoch takes those that are left. */
  readonly batch: number;
  readonly optimizer: OptimizerId;
  readonly rate: number;
  readonly schedule: ScheduleId;
  readonly warmup: number;
  readonly drop: number;
  readonly drops: number;
  readonly momentum: number;
  readonly beta2: number;
  readonly decay: number;
  /** Gradients longer than this, where they are applied, are scaled down to it; 0: no limit. */
  readonly clip: number;
  /** Weight of the old value in the moving average of the parameters; 0: no average is kept. */
  readonly ema: number;
  /** Steps between two evaluations on the held-out records. */
  readonly lookEvery: number;
  /** Evaluations without a better score after which the run stops; 0: it never stops early. */
  readonly patience: number;
  readonly keep: "best" | "last";
  readonly seed: number;
}

export interface LoopParts {
  /** The graph for chunks of `micro` records. Those for fewer have the same parameters. */
  readonly step: StepGraph;
  /** Run in parallel; each takes chunks of `micro` records or fewer. */
  readonly sessions: readonly StepSession[];
  readonly micro: number;
  /** Number of training records. */
  readonly records: number;
  /**
   * How many of them an epoch takes: all, or as many as fill whole chunks, where the model takes
   * no smaller ones.
   */
  readonly taken: number;
  /** The chunk of these records. `lane` is the session that will run it. */
  read(
    indices: readonly number[],
    random: Random,
    at: { readonly step: number; readonly lane: number },
  ): Promise<Chunk>;
  /**
   * The score of parameters on the held-out records, higher is better; null if no
   * records are held out.
   */
  readonly score: ((parameters: Float32Array, statistics: Float32Array) => Promise<number>) | null;
  /** Factor of the learning rate of a parameter; 1 if left out. */
  readonly rateOf?: (parameter: Parameter) => number;
  /** Weights stay as they are, so that no loss is too large (default false). */
  readonly isProbe?: boolean;
  /** May change the gradient before an update, or the parameters after it (a projection). */
  readonly beforeUpdate?: (gradient: Float32Array, state: TrainState, step: StepGraph) => void;
  readonly afterUpdate?: (state: TrainState, step: StepGraph) => void;
  /** Whether the run is to end with the present step, as if it were the last one. */
  readonly isFinishing?: () => boolean;
  readonly onProgress: (point: Progress) => Promise<void>;
  /** Stores the state every `saveEvery` steps, at the end, and when `onProgress` rejects. */
  readonly save: ((bytes: Uint8Array) => Promise<void>) | null;
  readonly saveEvery: number;
  /** A saved state to continue from. */
  readonly resume: Uint8Array | null;
  /** Identifies the run: a saved state with another key is refused. */
  readonly key: string;
  /** How the run computes; written into checkpoints so that a resumed run computes the same way. */
  readonly computeChoice: ComputeChoice;
  /** Where checkpoints go, for messages. */
  readonly where: string;
}

export interface Progress {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly score: number | null;
  /** Records processed since the last call. */
  readonly records: number;
}

/**
 * About how many points the loss curve has; each is the mean over the rows (records or tokens) since
 * the one before, in which a smaller batch counts less.
 */
const curvePoints = 200;

/** Steps per epoch: each record once, so that the last batch may be smaller. */
export const stepsPerEpoch = (taken: number, batch: number): number => Math.ceil(taken / batch);

/**
 * Runs the steps and returns the final state; `resultOf` picks its parameters. Batches are shuffled
 * anew in each epoch, by the seed, so that a run can be repeated and resumed bit by bit.
 *
 * If the loss or the gradient is not a finite number or the loss has exploded, the run stops with the
 * last good state, and `stopped` says so; without one it rejects with TersorError "diverged". Rejects
 * with "bad-checkpoint" if the state to resume from does not fit.
 */
export async function trainLoop(parts: LoopParts, options: LoopOptions): Promise<TrainState> {
  const { step, records, micro, taken } = parts;
  const state = parts.resume
    ? decodeState(parts.resume, parts.key, parts.where)
    : startOf(step, options);
  const rates = new Map(
    step.parameters.map((own) => [own, own.rate * (parts.rateOf?.(own) ?? 1)] as const),
  );
  const rateOf = (own: Parameter): number => rates.get(own) as number;
  const still = step.parameters.filter((own) => rateOf(own) === 0);
  const frozen = prunedPlaces(step.parameters, flatten(step.parameters));
  const { batch } = options;
  const perEpoch = stepsPerEpoch(taken, batch);
  const hyper = hyperOf(options);
  const update = optimizers[options.optimizer].update;
  const recorded = Math.max(1, Math.floor(options.steps / curvePoints));
  let order: { readonly epoch: number; readonly indices: Uint32Array } | null = null;
  let [sum, count] = [0, 0];
  const guard = createGuard(parts, state);

  const indicesOf = (at: number): number[] => {
    const epoch = Math.floor(at / perEpoch);
    if (order?.epoch !== epoch) order = { epoch, indices: shuffled(records, options.seed, epoch) };
    const start = (at % perEpoch) * batch;
    return Array.from(order.indices.subarray(start, Math.min(start + batch, taken)));
  };
  const prepare = (at: number): Promise<Chunk[]> =>
    Promise.all(
      chunksOf(indicesOf(at), micro).map((indices, i) => {
        const random = createRandom(options.seed).fork(`batch/${at}/${i}`);
        return parts.read(indices, random, { step: at, lane: i % parts.sessions.length });
      }),
    );

  // The start is a candidate as well: training may end below it.
  if (parts.score && options.keep === "best" && state.step === 0) await look(parts, options, state);

  let ahead = state.step < options.steps ? prepare(state.step) : null;
  while (state.step < options.steps && ahead) {
    const chunks: Chunk[] = await ahead;
    const running = gradientOf(parts.sessions, chunks, state.parameters, step);
    // The next batch is read while the engine computes.
    ahead = state.step + 1 < options.steps ? prepare(state.step + 1) : null;
    ahead?.catch(() => {}); // raised where it is awaited
    const { loss, gradient, statistics, rows } = await running;
    const seen = chunks.reduce((all, chunk) => all + chunk.records, 0);
    // What is not applied is zero before the length is taken, as in PyTorch with masked gradients.
    for (const place of frozen) gradient[place] = 0;
    for (const { offset, size } of still) gradient.fill(0, offset, offset + size);
    const stopped = guard(loss, gradient, state);
    if (stopped !== null) return { ...state, stopped };
    parts.beforeUpdate?.(gradient, state, step);
    if (options.clip > 0) clip(gradient, norm(gradient), options.clip);
    const rate = options.rate * rateFactor(options.schedule, state.step, options.steps, options);
    const segments = segmentsOf(step.parameters, rate, options.decay, rateOf);
    update(state.parameters, gradient, state.optimizer, segments, hyper);
    clampToBounds(step.parameters, state.parameters);
    follow(state.statistics, statistics, step.statistics, seen / micro);
    parts.afterUpdate?.(state, step);
    if (options.ema > 0) {
      // In the first steps new values weigh more, because there is little to average yet.
      const keep = Math.min(options.ema, (1 + state.step) / (10 + state.step));
      average(state.average, state.parameters, keep);
    }
    state.step++;
    sum += loss * rows;
    count += rows;

    const ended = state.step === options.steps || parts.isFinishing?.() === true;
    let score: number | null = null;
    if (parts.score && (ended || state.step % options.lookEvery === 0)) {
      score = await look(parts, options, state);
    }
    if (ended || score !== null || state.step % recorded === 0) {
      state.curve.push({ step: state.step, loss: count > 0 ? sum / count : loss, rate, score });
      [sum, count] = [0, 0];
    }
    const stop = options.patience > 0 && state.worse >= options.patience;
    const save = async (): Promise<void> =>
      parts.save?.(encodeState(state, parts.key, parts.computeChoice));
    const isDue = ended || stop || state.step % parts.saveEvery === 0;
    if (isDue) await save();
    const { step: at } = state;
    const point = { step: at, steps: options.steps, loss, score, records: seen };
    try {
      await parts.onProgress(point);
    } catch (cause) {
      if (!isDue) await save(); // the run was interrupted
      throw cause;
    }
    if (stop || ended) break;
  }
  return state;
}

/**
 * The parameters and running statistics that a finished run results in: the best ones by the
 * held-out records, among which are those of the start, else the moving average if there is one,
 * else the last ones.
 */
export function resultOf(
  state: TrainState,
  { keep, ema }: Pick<LoopOptions, "keep" | "ema">,
): { readonly parameters: Float32Array; readonly statistics: Float32Array } {
  if (keep === "best" && state.bestScore !== null) {
    return { parameters: state.bestParameters, statistics: state.bestStatistics };
  }
  return { parameters: ema > 0 ? state.average : state.parameters, statistics: state.statistics };
}

function startOf(step: StepGraph, { optimizer, ema }: LoopOptions): TrainState {
  const parameters = flatten(step.parameters);
  return {
    step: 0,
    parameters,
    optimizer: startState(optimizer, parameters.length),
    statistics: statisticsOf(step.statistics),
    average: ema > 0 ? parameters.slice() : new Float32Array(),
    bestParameters: new Float32Array(),
    bestStatistics: new Float32Array(),
    bestScore: null,
    bestStep: 0,
    worse: 0,
    curve: [],
  };
}

/** The model's running statistics in one vector: mean, variance, layer by layer. */
function statisticsOf(layers: readonly RunningStatistics[]): Float32Array {
  return Float32Array.from(
    layers.flatMap(({ mean, variance }) =>
      [mean, variance].flatMap(({ tensor }) => [...(tensor?.floats() ?? [])]),
    ),
  );
}

function shuffled(records: number, seed: number, epoch: number): Uint32Array {
  const indices = Uint32Array.from({ length: records }, (_, i) => i);
  return createRandom(seed).fork(`epoch/${epoch}`).shuffle(indices);
}

/** A function that updates parameters by their gradient, as steps of a run with `options` do. */
export function updateOf(
  parameters: readonly Parameter[],
  options: Updating,
): (vector: Float32Array, gradient: Float32Array) => void {
  const size = parameters.reduce((sum, part) => sum + part.size, 0);
  const { optimizer, rate, decay } = options;
  const state = startState(optimizer, size);
  const segments = segmentsOf(parameters, rate, decay, (own) => own.rate);
  const hyper = hyperOf(options);
  return (vector, gradient) => {
    optimizers[optimizer].update(vector, gradient, state, segments, hyper);
  };
}

const hyperOf = ({ momentum, beta2 }: Pick<LoopOptions, "momentum" | "beta2">) => ({
  momentum,
  beta2,
  epsilon: 1e-8,
});

type Updating = Pick<LoopOptions, "optimizer" | "rate" | "decay" | "momentum" | "beta2">;

/** Learning rate and weight decay of each parameter's range of the vector. */
function segmentsOf(
  parameters: readonly Parameter[],
  rate: number,
  decay: number,
  rateOf: (parameter: Parameter) => number,
): Segment[] {
  return parameters.map((parameter) => ({
    from: parameter.offset,
    to: parameter.offset + parameter.size,
    rate: rate * rateOf(parameter),
    // Weight decay is for weights, whose parts (codebooks, scales of grids) count as well. Biases and
    // normalizations have no reason to be small, and a theta may be anything: a level, a gate.
    decay: parameter.kind === "weight" ? decay : 0,
  }));
}

/**
 * Updates the running statistics by one batch of `size` chunks. In both vectors a layer's means are
 * followed by its variances.
 */
function follow(
  running: Float32Array,
  batch: Float32Array,
  layers: readonly RunningStatistics[],
  size: number,
): void {
  let at = 0;
  for (const layer of layers) {
    const { channels } = layer;
    const middle = at + channels;
    const of = (vector: Float32Array) => ({
      mean: vector.subarray(at, middle),
      variance: vector.subarray(middle, middle + channels),
    });
    updateRunning(of(running), of(batch), { ...layer, count: layer.count * size });
    at = middle + channels;
  }
}

/** Scores the parameters on the held-out records and remembers the best ones. */
async function look(parts: LoopParts, { ema }: LoopOptions, state: TrainState): Promise<number> {
  const parameters = ema > 0 ? state.average : state.parameters;
  const score = (await parts.score?.(parameters, state.statistics)) ?? 0;
  // Among equal scores the later parameters are kept, but equality does not count as an
  // improvement. A score that is no number, which a model with broken outputs gets, is below all.
  const best = state.bestScore ?? Number.NEGATIVE_INFINITY;
  const isFirst = state.bestScore === null && !Number.isNaN(score);
  state.worse = isFirst || score > best ? 0 : state.worse + 1;
  if (score >= best) {
    state.bestParameters = parameters.slice();
    state.bestStatistics = state.statistics.slice();
    state.bestScore = score;
    state.bestStep = state.step;
  }
  return score;
}
