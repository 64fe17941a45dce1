/** @file State: everything that a run of training needs to be continued with identical bits. */
import { errors, fail } from "../errors.ts";
import type { OptimizerState } from "./optimizers.ts";

export interface TrainState {
  /** Number of steps done. */
  step: number;
  readonly parameters: Float32Array;
  readonly optimizer: OptimizerState;
  /** Running means and variances, layer by layer as in the step's output. */
  readonly statistics: Float32Array;
  /** Exponential moving average of the parameters; empty where none is kept. */
  readonly average: Float32Array;
  /**
   * The best parameters and statistics by the held-out records; empty before the first evaluation.
   */
  bestParameters: Float32Array;
  bestStatistics: Float32Array;
  bestScore: number | null;
  bestStep: number;
  /** Evaluations since the best one. */
  worse: number;
  /** Mean losses since the point before, with scores of the held-out records. */
  readonly curve: CurvePoint[];
  /** Why the run ended before its last step because of a broken loss; checkpoints do not hold it. */
  readonly stopped?: string;
}

/** A point of the loss curve. */
export interface CurvePoint {
  readonly step: number;
  readonly loss: number;
  readonly rate: number;
  /** The metric on held-out records, where it was evaluated. */
  readonly score: number | null;
}

/** How a run computes. Other choices give the same numbers except for the last bits. */
export interface ComputeChoice {
  /** One engine per core (workers), or one engine on all cores (threads). */
  readonly shape: "workers" | "threads";
  /**
   * The chosen forms of convolutions and their gradients (tune.ts); default forms for all others.
   */
  readonly forms: Readonly<Record<string, string>>;
}

/** The choice that needs no timing. */
export const plainChoice: ComputeChoice = { shape: "workers", forms: {} };

const magic = "tersor-training-1";
/** The vectors of a state, in the order in which a checkpoint stores them. */
const numbersOf = (state: TrainState) =>
  [
    state.parameters,
    state.statistics,
    state.average,
    state.bestParameters,
    state.bestStatistics,
    ...state.optimizer.slots,
  ] as const;

/**
 * A checkpoint: a JSON header of one line, then the vectors as float32. `key` identifies the run.
 */
export function encodeState(
  state: TrainState,
  key: string,
  computeChoice: ComputeChoice,
): Uint8Array {
  const vectors = numbersOf(state);
  const { step, bestScore, bestStep, worse, curve, optimizer } = state;
  const header = {
    magic,
    key,
    computeChoice,
    lengths: vectors.map(({ length }) => length),
    step,
    bestScore,
    bestStep,
    worse,
    curve,
    scalars: [...optimizer.scalars],
  };
  const text = new TextEncoder().encode(`${JSON.stringify(header)}\n`);
  const bytes = new Uint8Array(text.length + vectors.reduce((n, v) => n + v.byteLength, 0));
  bytes.set(text);
  let at = text.length;
  for (const { buffer, byteOffset, byteLength } of vectors) {
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), at);
    at += byteLength;
  }
  return bytes;
}

/**
 * The state in a checkpoint. Throws TersorError "bad-checkpoint" if the bytes are damaged, of
 * another version or of another run; `where` names the file in messages.
 */
export function decodeState(bytes: Uint8Array, key: string, where: string): TrainState {
  const end = bytes.indexOf(10);
  let header: ReturnType<typeof parse>;
  try {
    header = parse(new TextDecoder().decode(bytes.subarray(0, end)));
  } catch (cause) {
    throw fail(errors.badCheckpoint(where, "is no checkpoint of a training run"), cause);
  }
  if (header.magic !== magic) throw fail(errors.badCheckpoint(where, "is of another version"));
  if (header.key !== key) {
    const why = "belongs to another run: model, data, options, seed or threads differ";
    throw fail(errors.badCheckpoint(where, why));
  }
  const total = header.lengths.reduce((a, b) => a + b, 0) * 4;
  if (bytes.length !== end + 1 + total) throw fail(errors.badCheckpoint(where, "is cut short"));
  let at = end + 1;
  const [parameters, statistics, average, bestParameters, bestStatistics, ...slots] =
    header.lengths.map((length) => {
      const piece = new Uint8Array(bytes.subarray(at, at + 4 * length)); // slice() of a Buffer is a view
      at += 4 * length;
      return new Float32Array(piece.buffer);
    });
  const { step, bestScore, bestStep, worse, curve, scalars } = header;
  const optimizer = { slots, scalars: Float64Array.from(scalars) };
  const best = { bestParameters, bestStatistics, bestScore, bestStep, worse };
  return { step, parameters, optimizer, statistics, average, ...best, curve };
}

/** How the run of a checkpoint computed; null if the bytes are no checkpoint. */
export function choiceOf(bytes: Uint8Array): ComputeChoice | null {
  try {
    return parse(new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(10)))).computeChoice;
  } catch {
    return null;
  }
}

/** The number of steps done in a checkpoint; 0 if the bytes are none. */
export function stepOf(bytes: Uint8Array): number {
  try {
    return parse(new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(10)))).step;
  } catch {
    return 0;
  }
}

function parse(text: string) {
  return JSON.parse(text) as {
    magic: string;
    key: string;
    computeChoice: ComputeChoice;
    lengths: number[];
    step: number;
    bestScore: number | null;
    bestStep: number;
    worse: number;
    curve: CurvePoint[];
    scalars: number[];
  };
}
