/** @file The training loop: batches in, gradients from every worker, one update, over and over. */
import { errors, fail } from "../errors.ts";
import type { Tensor } from "../ir/tensor.ts";
import { tensor } from "../ir/tensor.ts";
import { createRandom, type Random } from "../numeric/random.ts";
import { updateRunning } from "./batch-norm.ts";
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
import { ports, type RunningStatistics, type StepGraph } from "./step.ts";

type Feeds = Readonly<Record<string, Tensor>>;

/** Whatever runs a step graph: an engine's session, perhaps in a thread of its own. */
export interface StepSession {
  run(feeds: Feeds): Promise<Record<string, Tensor>>;
}

export interface LoopOptions {
  /** Total steps; an epoch is as many as whole batches fit into the records. */
  readonly steps: number;
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
  /** Largest length of the gradient; 0 for no limit. */
  readonly clip: number;
  /** Share of the old in the moving average of the parameters; 0 for none. */
  readonly ema: number;
  /** Steps between two looks at the held-out records. */
  readonly lookEvery: number;
  /** Looks without a better score after which the run stops; 0 for never. */
  readonly patience: number;
  readonly keep: "best" | "last";
  readonly seed: number;
}

export interface LoopParts {
  readonly step: StepGraph;
  /** Run side by side; each takes batches of `micro` records. */
  readonly sessions: readonly StepSession[];
  readonly micro: number;
  readonly records: number;
  /** What the step takes for these records, everything but the parameters. */
  read(
    indices: readonly number[],
    random: Random,
    at: { readonly step: number; readonly lane: number },
  ): Promise<Feeds>;
  /** Higher is better; null where there are no held-out records. */
  readonly score: ((parameters: Float32Array, statistics: Float32Array) => Promise<number>) | null;
  /** Multiplies the learning rate of a layer; 1 where nothing is said. */
  readonly rateOf?: (parameter: Parameter) => number;
  /** Changes the parameters after an update (a projection), or the gradient before it. */
  readonly beforeUpdate?: (gradient: Float32Array, state: TrainState, step: StepGraph) => void;
  readonly afterUpdate?: (state: TrainState, step: StepGraph) => void;
  readonly onProgress: (point: Progress) => Promise<void>;
  /** Saved now and then, and at the end. */
  readonly save: ((bytes: Uint8Array) => Promise<void>) | null;
  readonly saveEvery: number;
  /** A saved state to go on from. */
  readonly resume: Uint8Array | null;
  readonly key: string;
  /** How the run computes, to be told from a checkpoint. */
  readonly computeChoice: ComputeChoice;
  /** For messages: where checkpoints go. */
  readonly where: string;
}

export interface Progress {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly score: number | null;
  /** Records since the last call. */
  readonly records: number;
}

/** A loss this many times the first one (or 1) is not coming back. */
const explosion = 1e4;

/** Steps that one point of the loss curve stands for, at least. */
const curvePoints = 200;

/**
 * Gives the state at the end: its parameters are the best by the held-out records, or the last.
 * Rejects with TersorError "diverged" when the loss or the gradient is no number or has exploded.
 */
export async function trainLoop(parts: LoopParts, options: LoopOptions): Promise<TrainState> {
  const { step, records, micro } = parts;
  const state = parts.resume
    ? decodeState(parts.resume, parts.key, parts.where)
    : startOf(step, options);
  const frozen = prunedPlaces(step.parameters, flatten(step.parameters));
  const batch = Math.min(options.batch, Math.max(micro, records - (records % micro)));
  const perEpoch = Math.max(1, Math.floor(records / batch));
  const hyper = { momentum: options.momentum, beta2: options.beta2, epsilon: 1e-8 };
  const update = optimizers[options.optimizer].update;
  const recorded = Math.max(1, Math.floor(options.steps / curvePoints));
  let order: { readonly epoch: number; readonly indices: Uint32Array } | null = null;
  let [sum, count] = [0, 0];
  let first = state.curve[0]?.loss ?? null;

  const indicesOf = (at: number): number[] => {
    const epoch = Math.floor(at / perEpoch);
    if (order?.epoch !== epoch) order = { epoch, indices: shuffled(records, options.seed, epoch) };
    const start = (at % perEpoch) * batch;
    return Array.from(order.indices.subarray(start, start + batch));
  };
  const prepare = (at: number): Promise<Feeds[]> => {
    const indices = indicesOf(at);
    const chunks = Array.from({ length: indices.length / micro }, (_, i) => i);
    return Promise.all(
      chunks.map((i) => {
        const random = createRandom(options.seed).fork(`batch/${at}/${i}`);
        const lane = i % parts.sessions.length;
        return parts.read(indices.slice(i * micro, (i + 1) * micro), random, { step: at, lane });
      }),
    );
  };

  let ahead = state.step < options.steps ? prepare(state.step) : null;
  while (state.step < options.steps && ahead) {
    const feeds: Feeds[] = await ahead;
    const running = gradientOf(parts.sessions, feeds, state.parameters);
    // The next batch is read while the engine computes.
    ahead = state.step + 1 < options.steps ? prepare(state.step + 1) : null;
    ahead?.catch(() => {}); // raised where it is awaited
    const { loss, gradient, statistics } = await running;
    for (const { rate, offset, size } of step.parameters) {
      if (rate === 0) gradient.fill(0, offset, offset + size);
    }
    const length = norm(gradient);
    first ??= loss;
    checkSound(loss, length, first, gradient, state, parts);
    for (const place of frozen) gradient[place] = 0;
    parts.beforeUpdate?.(gradient, state, step);
    if (options.clip > 0) clip(gradient, length, options.clip);
    const rate = options.rate * rateFactor(options.schedule, state.step, options.steps, options);
    const segments = segmentsOf(step.parameters, rate, options.decay, parts.rateOf);
    update(state.parameters, gradient, state.optimizer, segments, hyper);
    clampToBounds(step.parameters, state.parameters);
    follow(state.statistics, statistics, step.statistics);
    parts.afterUpdate?.(state, step);
    if (options.ema > 0) {
      // Early on the average is young: it remembers as much as there is to remember.
      const keep = Math.min(options.ema, (1 + state.step) / (10 + state.step));
      average(state.average, state.parameters, keep);
    }
    state.step++;
    sum += loss;
    count++;

    const ended = state.step === options.steps;
    let score: number | null = null;
    if (parts.score && (ended || state.step % options.lookEvery === 0)) {
      score = await look(parts, options, state);
    }
    if (ended || score !== null || state.step % recorded === 0) {
      state.curve.push({ step: state.step, loss: sum / count, rate, score });
      [sum, count] = [0, 0];
    }
    const stop = options.patience > 0 && state.worse >= options.patience;
    if (parts.save && (ended || stop || state.step % parts.saveEvery === 0)) {
      await parts.save(encodeState(state, parts.key, parts.computeChoice));
    }
    await parts.onProgress({
      step: state.step,
      steps: options.steps,
      loss,
      score,
      records: feeds.length * micro,
    });
    if (stop) break;
  }
  return state;
}

/** The vectors that a finished run stands for. */
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

/** The model's own running statistics, as the step lays them out: mean, variance, layer by layer. */
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

/** Means over the parts of a batch, added in their order: whoever finishes first. */
export async function gradientOf(
  sessions: readonly StepSession[],
  feeds: readonly Feeds[],
  vector: Float32Array,
) {
  const parameters = tensor("float32", [vector.length], vector);
  const lanes = sessions.map(async (session, lane) => {
    const results: Record<string, Tensor>[] = [];
    for (let i = lane; i < feeds.length; i += sessions.length) {
      results.push(await session.run({ ...feeds[i], [ports.parameters]: parameters }));
    }
    return results;
  });
  const results = await Promise.all(lanes);
  let loss = 0;
  const parts = feeds.map((_, i) => results[i % sessions.length][Math.floor(i / sessions.length)]);
  for (const part of parts) loss += part[ports.loss].floats()[0] / parts.length;
  return {
    loss,
    gradient: meanOf(parts.map((part) => part[ports.gradient])),
    statistics: parts[0][ports.statistics]
      ? meanOf(parts.map((part) => part[ports.statistics]))
      : new Float32Array(),
  };
}

function meanOf(tensors: readonly Tensor[]): Float32Array {
  const [mean, ...others] = tensors.map((part) => part.floats());
  for (const other of others) for (let i = 0; i < mean.length; i++) mean[i] += other[i];
  const share = 1 / tensors.length;
  if (share < 1) for (let i = 0; i < mean.length; i++) mean[i] *= share;
  return mean;
}

function segmentsOf(
  parameters: readonly Parameter[],
  rate: number,
  decay: number,
  rateOf: LoopParts["rateOf"],
): Segment[] {
  return parameters.map((parameter) => ({
    from: parameter.offset,
    to: parameter.offset + parameter.size,
    rate: rate * (rateOf?.(parameter) ?? 1) * parameter.rate,
    // Decay pulls at what multiplies; shifts and norms have no reason to be small.
    decay: parameter.kind === "weight" ? decay : 0,
  }));
}

/** Running statistics after one more batch; each layer's lie side by side, means first. */
function follow(
  running: Float32Array,
  batch: Float32Array,
  layers: readonly RunningStatistics[],
): void {
  let at = 0;
  for (const layer of layers) {
    const { channels } = layer;
    const middle = at + channels;
    const of = (vector: Float32Array) => ({
      mean: vector.subarray(at, middle),
      variance: vector.subarray(middle, middle + channels),
    });
    updateRunning(of(running), of(batch), layer);
    at = middle + channels;
  }
}

async function look(parts: LoopParts, { ema }: LoopOptions, state: TrainState): Promise<number> {
  const parameters = ema > 0 ? state.average : state.parameters;
  const score = (await parts.score?.(parameters, state.statistics)) ?? 0;
  // Of equally good parameters the later have seen more; but no gain is no gain.
  state.worse = state.bestScore !== null && score <= state.bestScore ? state.worse + 1 : 0;
  if (state.bestScore === null || score >= state.bestScore) {
    state.bestParameters = parameters.slice();
    state.bestStatistics = state.statistics.slice();
    state.bestScore = score;
    state.bestStep = state.step;
  }
  return score;
}

function checkSound(
  loss: number,
  length: number,
  first: number,
  gradient: Float32Array,
  state: TrainState,
  { step, save, where, saveEvery }: LoopParts,
): void {
  const isBroken = !Number.isFinite(loss) || !Number.isFinite(length);
  if (!isBroken && Math.abs(loss) <= explosion * Math.max(1, Math.abs(first))) return;
  let [worst, layer] = [-1, "no layer"];
  for (const { node, offset, size } of step.parameters) {
    const own = norm(gradient, offset, offset + size);
    const rank = Number.isFinite(own) ? own : Number.POSITIVE_INFINITY;
    if (rank > worst) [worst, layer] = [rank, node.name];
  }
  const why = isBroken
    ? `the loss is ${loss} and the gradient's length ${length}`
    : `the loss went from ${first} to ${loss}`;
  const saved = Math.floor(state.step / saveEvery) * saveEvery;
  const remedy = `Lower --rate or set --clip 1; ${save && saved > 0 ? `step ${saved} is saved in ${where}` : "nothing was saved yet"}`;
  throw fail(errors.diverged(state.step + 1, why, layer, remedy));
}
