/** @file What the readers of boxes share: the outputs that hold them, and pictures among the inputs. */
import { dtypes } from "../../ir/dtype.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Batch, Outputs } from "../metrics/spec.ts";
import type { Box } from "./box.ts";

/** Reads the boxes of one record that score at least `least`. */
export type Reader = (outputs: Outputs, least: number) => Box[];

/** How the boxes lie in a model's outputs. */
export interface Layout {
  readonly outputs: readonly string[];
  /** In words, for a note. */
  readonly note: string;
  /** Whether names and shapes leave no doubt that these are boxes. */
  readonly isClear: boolean;
  /** Whether the model itself has suppressed boxes that overlap. */
  readonly isFinal: boolean;
  /**
   * A reader for records like this one, the original's where there is one: how numbers are meant
   * (corners or centres, logits or probabilities) is told by their values.
   */
  readerFor(sample: Outputs): Reader;
}

/** The shape of one record, without axes of length 1 before the last two. */
export function recordShape({ shape }: Tensor, records: number): number[] {
  const own = shape[0] === records && shape.length > 1 ? shape.slice(1) : [...shape];
  return own.filter((dim, i) => dim !== 1 || i >= own.length - 2);
}

/** The outputs of floats with the shape of a record. */
export function floatOutputs({ outputs, records }: Batch) {
  return Object.entries(outputs)
    .filter(([, { dtype }]) => dtypes[dtype].kind === "float")
    .map(([name, value]) => ({ name, shape: recordShape(value, records) }));
}

/** Height and width of the picture among the inputs; null if there is none. */
export function pictureSize({ inputs = {} }: Batch): { height: number; width: number } | null {
  for (const { shape } of Object.values(inputs)) {
    if (shape.length !== 4) continue;
    const [height, width] = [1, 3, 4].includes(shape[1]) ? shape.slice(2) : shape.slice(1, 3);
    if (height > 1 && width > 1) return { height, width };
  }
  return null;
}

/**
 * Whether as many boxes are a whole number of each place of grids with steps of 8, 16 and 32 pixels
 * (and 64, where the detector has four of them).
 */
export function fillsGrids(boxes: number, batch: Batch): boolean {
  const size = pictureSize(batch);
  if (!size) return false;
  const places = (steps: readonly number[]) =>
    steps.reduce((n, s) => n + Math.ceil(size.height / s) * Math.ceil(size.width / s), 0);
  return [
    [8, 16, 32],
    [8, 16, 32, 64],
  ].some((steps) => boxes % places(steps) === 0 && boxes / places(steps) <= 9);
}

/** Four numbers as corners, in any order. */
export function cornersOf(a: number, b: number, c: number, d: number, isCentre: boolean) {
  if (isCentre) return { x1: a - c / 2, y1: b - d / 2, x2: a + c / 2, y2: b + d / 2 };
  return { x1: Math.min(a, c), y1: Math.min(b, d), x2: Math.max(a, c), y2: Math.max(b, d) };
}

/** Whether [n, 4] numbers are centre and size: for corners the second pair is the larger one. */
export function areCentres(
  values: ArrayLike<number>,
  at: (i: number, k: number) => number,
  n: number,
) {
  let ordered = 0;
  for (let i = 0; i < n; i++) {
    if (values[at(i, 2)] >= values[at(i, 0)] && values[at(i, 3)] >= values[at(i, 1)]) ordered++;
  }
  return ordered < 0.95 * n;
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The numbers as probabilities: as they are if all lie in [0, 1], else by sigmoid. */
export function probability(values: ArrayLike<number>): (x: number) => number {
  for (let i = 0; i < values.length; i++) if (values[i] < 0 || values[i] > 1) return sigmoid;
  return (x) => x;
}
