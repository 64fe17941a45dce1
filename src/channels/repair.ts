/** @file Repair: how the layers that read removed channels are corrected. */

import type { Context } from "../context.ts";
import { meansOf, type Source } from "../evidence/pooled.ts";
import type { Value } from "../ir/graph.ts";
import { cloneGraph, type Model } from "../ir/model.ts";
import { isSparse, type Loss, refit } from "../layers/refit.ts";
import { shiftOutputs } from "../layers/shift.ts";
import { biasInputOf } from "../ops/bias.ts";
import type { Kept } from "../ops/coupling.ts";
import { product } from "../util/product.ts";
import { type Candidate, eachElement, type Part, type Reader } from "./candidates.ts";
import { canAbsorb, dataOf, type Vitality } from "./dead.ts";
import { levelsOf } from "./level.ts";
import { renormalize } from "./renormalize.ts";

/** The units of one group that are removed, and the vitality of all its units. */
export interface Removed {
  readonly candidate: Candidate;
  readonly units: readonly number[];
  readonly vitality: readonly Vitality[];
}

/**
 * A repair has two halves. The function itself looks at the model before the removal; the function
 * it returns changes the model after it, where `kept` tells which rows of each weight are left. A
 * new repair is one entry of `repairs`.
 */
export type Repair = (
  model: Model,
  removed: readonly Removed[],
  context: Context,
  /** Calibration records to look at, at most. */
  records: number,
) => Promise<(kept: Kept) => Promise<void> | void>;

/** Only constants move into biases. That is exact, and all that dead channels need. */
const none: Repair = async (_, removed) => {
  const shifts = absorb(removed, () => null);
  return (kept) => shift(shifts, kept);
};

/** The mean of each removed channel, times its weight, moves into the biases of its readers. */
const bias: Repair = async (model, removed, context, records) => {
  const shifts = await meanShifts(model, removed, context, records);
  return (kept) => shift(shifts, kept);
};

/** As `bias`; then the running statistics of batch normalizations are measured again. */
const batchnorm: Repair = async (model, removed, context, records) => {
  const finish = await bias(model, removed, context, records);
  return async (kept) => {
    await finish(kept);
    await renormalize(model, context, records);
  };
};

/**
 * As `bias`; then the weights that are left are fitted to the layer's former outputs
 * (layers/refit.ts). Without calibration data only the means that normalizations imply are used.
 */
const leastSquares: Repair = async (model, removed, context, records) => {
  const shifts = await meanShifts(model, removed, context, records);
  if (!context.hasCalibration) return (kept) => shift(shifts, kept);
  const twins = new Map<Value, Value>();
  const original = { model: { ...model, graph: cloneGraph(model.graph, twins) }, twins };
  const parts = new Set(
    removed.flatMap(({ candidate, units, vitality }) =>
      candidate.readers.flatMap((reader) =>
        reader.part &&
        canAbsorb(reader.part) &&
        units.some((unit) => isHeard(vitality[unit], reader))
          ? reader.part
          : [],
      ),
    ),
  );
  return async (kept) => {
    shift(shifts, kept);
    const losses = [...parts].flatMap((part): Loss[] => {
      const { use } = part;
      if (isSparse(part.weight)) {
        const why = "is repaired by means alone: it is sparse, and a fit would fill its zeros";
        context.skip(use.node.name, why);
        return [];
      }
      const rows = kept.indices(use.value, use.role.outputAxis);
      const moved = biasInputOf(use.node) === null ? shifts.get(part) : null;
      return [{ use, shift: moved ? Float64Array.from(rows, (row) => moved[row]) : null }];
    });
    await refit(model, original, losses, kept, records, context);
  };
};

/** Whether a reader depends on the unit in a way that a constant does not repair. */
const isHeard = ({ isDead, ignored }: Vitality, reader: Reader): boolean =>
  !isDead && !ignored.includes(reader);

export const repairs = {
  "least-squares": leastSquares,
  batchnorm,
  bias,
  none,
} as const satisfies Record<string, Repair>;

export type RepairId = keyof typeof repairs;
export const repairIds = Object.keys(repairs) as [RepairId, ...RepairId[]];

/**
 * For a removed unit: the expected value of each input channel of a reader; null if it is not
 * known.
 */
type Expect = (
  reader: Reader,
  candidate: Candidate,
  unit: number,
) => ((index: number) => number) | null;

/**
 * The shifts by means: observed on calibration records, or else those that a normalization implies.
 */
async function meanShifts(
  model: Model,
  removed: readonly Removed[],
  context: Context,
  records: number,
): Promise<Map<Part, Float64Array>> {
  const means = await observeMeans(model, removed, context, records);
  return absorb(removed, (reader, { group, isNormalized }, unit) => {
    const data = dataOf(reader);
    if (!data) return null;
    const seen = means?.get(data);
    if (seen) return (index) => seen[index];
    const guess = isNormalized ? levelsOf(group.units[unit], true)(data) : null;
    return guess === null ? null : () => guess;
  });
}

/**
 * shift[o] = sum over removed input channels i of w[o, i] E[x_i], summed over kernel positions: the
 * vector [outputs] to add to each reader's bias. Dead units use their exact constant.
 */
function absorb(removed: readonly Removed[], expect: Expect): Map<Part, Float64Array> {
  const shifts = new Map<Part, Float64Array>();
  for (const { candidate, units, vitality } of removed) {
    for (const reader of candidate.readers) {
      const { part } = reader;
      if (!part || !canAbsorb(part)) continue;
      const shift =
        shifts.get(part) ?? new Float64Array(part.weight.shape[part.use.role.outputAxis]);
      const weights = part.weight.numbers();
      for (const unit of units) {
        const { isDead, constants, ignored } = vitality[unit];
        if (ignored.includes(reader)) continue;
        const constant = constants.get(reader) ?? 0;
        const mean = isDead ? () => constant : expect(reader, candidate, unit);
        if (mean) addShift(shift, part, unit, weights, mean);
      }
      if (shift.some((x) => x !== 0)) shifts.set(part, shift);
    }
  }
  return shifts;
}

/** Adds each reader's shift to its bias, without the rows that were removed in the meantime. */
function shift(shifts: ReadonlyMap<Part, Float64Array>, kept: Kept): void {
  for (const [{ use, weight }, by] of shifts) {
    const rows = kept.indices(use.value, use.role.outputAxis);
    const left = Float64Array.from(rows, (row) => by[row]);
    shiftOutputs(use.node, left, weight.dtype);
  }
}

/**
 * Adds one unit's share w[o, i] mean(i) to `shift` [outputs]. In a grouped convolution the second
 * axis of the weight counts inputs of its own group, so `mean` gets group * inputs + index.
 */
function addShift(
  shift: Float64Array,
  part: Part,
  unit: number,
  weights: ArrayLike<number>,
  mean: (index: number) => number,
): void {
  const { weight, axis, use } = part;
  const { outputAxis, groups } = use.role;
  const strides = weight.shape.map((_, i) => product(weight.shape.slice(i + 1)));
  const at = (element: number, of: number): number =>
    Math.floor(element / strides[of]) % weight.shape[of];
  const rowsPerGroup = weight.shape[outputAxis] / groups;
  eachElement(part, part.indices(unit), (element) => {
    const row = at(element, outputAxis);
    const group = Math.floor(row / rowsPerGroup);
    shift[row] += weights[element] * mean(group * weight.shape[axis] + at(element, axis));
  });
}

/**
 * The mean of every input channel of the readers that need one, [channels] by value; null without
 * calibration data. Groups of which only dead units are removed need no means.
 */
async function observeMeans(
  model: Model,
  removed: readonly Removed[],
  context: Context,
  records: number,
): Promise<Map<Value, Float64Array> | null> {
  if (!context.hasCalibration) return null;
  const sources = new Map<Value, Source>();
  for (const { candidate, units, vitality } of removed) {
    if (units.every((unit) => vitality[unit].isDead)) continue;
    for (const reader of candidate.readers) {
      const data = reader.part && canAbsorb(reader.part) ? dataOf(reader) : null;
      if (data) sources.set(data, { value: data, axis: channelAxis(reader, data) });
    }
  }
  const means = await meansOf(model, [...sources.values()], context.observe, records);
  return new Map(Array.from(means, ([{ value }, mean]) => [value, mean]));
}

/** The axis of `data` that the reader sums over. */
export function channelAxis({ sink }: Reader, data: Value): number {
  const side = sink.sides.find(({ value }) => value === data);
  return side?.axis ?? 1;
}
