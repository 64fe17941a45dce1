/** @file State: everything a run of training must remember to go on bit by bit as if never stopped. */
import { errors, fail } from "../errors.ts";
import type { OptimizerState } from "./optimizers.ts";

export interface TrainState {
  /** Steps done. */
  step: number;
  readonly parameters: Float32Array;
  readonly optimizer: OptimizerState;
  /** Running means and variances, laid out as the step's statistics. */
  readonly statistics: Float32Array;
  /** Exponential moving average of the parameters; empty where none is kept. */
  readonly average: Float32Array;
  /** The best parameters and statistics so far by the held-out records; empty before the first look. */
  bestParameters: Float32Array;
  bestStatistics: Float32Array;
  bestScore: number | null;
  bestStep: number;
  /** Looks since the best one. */
  worse: number;
  /** Mean loss since the last entry, and what the held-out records said. */
  readonly curve: CurvePoint[];
}

/** A point of the loss curve. */
export interface CurvePoint {
  readonly step: number;
  readonly loss: number;
  readonly rate: number;
  /** The metric on held-out records, where it was taken. */
  readonly score: number | null;
}

/** How a run computes: other ways give the same numbers but for the last bits. */
export interface ComputeChoice {
  /** An engine per core, or one for all cores. */
  readonly shape: "workers" | "threads";
  /** Chosen forms of convolutions' gradients (tune.ts); the default where nothing is said. */
  readonly forms: Readonly<Record<string, string>>;
}

/** Without a look at the clock. */
export const plainChoice: ComputeChoice = { shape: "workers", forms: {} };

const magic = "tersor-training-1";
const numbersOf = (state: TrainState) =>
  [
    state.parameters,
    state.statistics,
    state.average,
    state.bestParameters,
    state.bestStatistics,
    ...state.optimizer.slots,
  ] as const;

/** A JSON header of a line, then the vectors. `key` tells runs apart. */
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

/** Throws TersorError "bad-checkpoint" when the bytes are damaged or of another run. */
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

/** How the run of a checkpoint computed; null where the bytes are none. */
export function choiceOf(bytes: Uint8Array): ComputeChoice | null {
  try {
    return parse(new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(10)))).computeChoice;
  } catch {
    return null;
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
