/** @file Repair: what the readers of removed channels keep of them. */
import type { Node, Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { tensor } from "../../ir/tensor.ts";
import { build } from "../../ops/builder.ts";
import type { Kept } from "../../ops/coupling.ts";
import { biasOf } from "../../ops/weights.ts";
import type { Context, Tap } from "../method.ts";
import { type Candidate, eachElement, type Part, type Reader } from "./candidates.ts";
import { dataOf, type Vitality } from "./dead.ts";
import { levelsOf } from "./level.ts";

/** Units that go, and what is known of them. */
export interface Removed {
  readonly candidate: Candidate;
  readonly units: readonly number[];
  readonly vitality: readonly Vitality[];
}

/**
 * A repair looks at the model before the removal and gives what is to be done after it: `kept`
 * tells which rows of a layer are still there. A new one is an entry here.
 */
export type Repair = (
  model: Model,
  removed: readonly Removed[],
  context: Context,
) => Promise<(kept: Kept) => void>;

/** Constants only: exact, and all that dead channels need. */
const none: Repair = async (_, removed) => absorb(removed, () => null);

/** The mean of each removed channel moves into the biases of those that read it. */
const bias: Repair = async (model, removed, context) => {
  const means = await observeMeans(model, removed, context);
  return absorb(removed, (reader, { group, isNormalized }, unit) => {
    const data = dataOf(reader);
    if (!data) return null;
    const seen = means?.get(data);
    if (seen) return (index) => seen[index];
    const guess = isNormalized ? levelsOf(group.units[unit], true)(data) : null;
    return guess === null ? null : () => guess;
  });
};

export const repairs = { bias, none } as const satisfies Record<string, Repair>;

export type RepairId = keyof typeof repairs;
export const repairIds = Object.keys(repairs) as [RepairId, ...RepairId[]];

/** The expected value of input channel `index`; null: not known. */
type Expect = (
  reader: Reader,
  candidate: Candidate,
  unit: number,
) => ((index: number) => number) | null;

/** shift[o] = sum over removed i of w[o, i] E(x[i]), added to the layer's bias. */
function absorb(removed: readonly Removed[], expect: Expect): (kept: Kept) => void {
  const shifts = new Map<Part, Float64Array>();
  for (const { candidate, units, vitality } of removed) {
    for (const reader of candidate.readers) {
      const { part } = reader;
      if (!part || !canAbsorb(part)) continue;
      const shift =
        shifts.get(part) ?? new Float64Array(part.weight.shape[part.use.role.outputAxis]);
      const weights = part.weight.numbers();
      for (const unit of units) {
        const { isDead, constants, deaf } = vitality[unit];
        if (deaf.includes(reader)) continue;
        const constant = constants.get(reader) ?? 0;
        const mean = isDead ? () => constant : expect(reader, candidate, unit);
        if (mean) addShift(shift, part, unit, weights, mean);
      }
      if (shift.some((x) => x !== 0)) shifts.set(part, shift);
    }
  }
  return (kept) => {
    for (const [{ use }, shift] of shifts) {
      const rows = kept.indices(use.value, use.role.outputAxis);
      shiftOutputs(
        use.node,
        Float32Array.from(rows, (row) => shift[row]),
      );
    }
  };
}

/** Under a stride a transposed convolution gives each output another part of its kernel. */
function canAbsorb({ use, weight }: Part): boolean {
  return (
    ["Conv", "Gemm"].includes(use.node.op) ||
    (use.node.op === "MatMul" && weight.shape.length === 2)
  );
}

function addShift(
  shift: Float64Array,
  part: Part,
  unit: number,
  weights: ArrayLike<number>,
  mean: (index: number) => number,
): void {
  const { weight, axis, use } = part;
  const { outputAxis, groups } = use.role;
  const strides = weight.shape.map((_, i) => weight.shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const at = (element: number, of: number): number =>
    Math.floor(element / strides[of]) % weight.shape[of];
  const rowsPerGroup = weight.shape[outputAxis] / groups;
  eachElement(part, part.indices(unit), (element) => {
    const row = at(element, outputAxis);
    const group = Math.floor(row / rowsPerGroup);
    shift[row] += weights[element] * mean(group * weight.shape[axis] + at(element, axis));
  });
}

/** Adds a vector to what a layer gives, in its bias where it has one of its own. */
function shiftOutputs(node: Node, shift: Float32Array): void {
  const { graph } = node;
  const scale = node.op === "Gemm" ? node.float("alpha", 1) / node.float("beta", 1) : 1;
  const scaled = shift.map((x) => x * scale);
  const old = biasOf(node);
  const place = node.op === "MatMul" ? node.output.consumers[0] : node;
  if (old?.tensor && old.tensor.size === shift.length) {
    const values = old.tensor.floats();
    const sum = tensor(
      old.tensor.dtype,
      old.tensor.shape,
      scaled.map((x, i) => x + values[i]),
    );
    place.setInput(place.inputs.indexOf(old), graph.addConstant(old.name, sum));
  } else if (!old && node.op !== "MatMul") {
    node.setInput(
      2,
      graph.addConstant(`${node.name}_bias`, tensor("float32", [shift.length], scaled)),
    );
  } else if (!node.output.isOutput) insertAdd(node, shift);
}

function insertAdd(node: Node, shift: Float32Array): void {
  const g = build(node.graph, node.name);
  const uses = [...node.output.uses];
  const spatial = node.op === "Conv" ? (node.output.shape?.slice(2).map(() => 1) ?? []) : [];
  const shifted = g.Add(node.output, g.constant(shift, { shape: [shift.length, ...spatial] }));
  for (const { user, index } of uses) {
    if ("setInput" in user) user.setInput(index, shifted);
  }
}

/** Means of what readers read, channel by channel; null without calibration data. */
async function observeMeans(
  model: Model,
  removed: readonly Removed[],
  context: Context,
): Promise<Map<Value, Float64Array> | null> {
  if (!context.observe) return null;
  const axes = new Map<Value, number>();
  for (const { candidate, units, vitality } of removed) {
    if (units.every((unit) => vitality[unit].isDead)) continue;
    for (const reader of candidate.readers) {
      const data = reader.part && canAbsorb(reader.part) ? dataOf(reader) : null;
      if (data) axes.set(data, channelAxis(reader, data));
    }
  }
  return meansOf(model, axes, false, context.observe);
}

export function channelAxis({ sink }: Reader, data: Value): number {
  const side = sink.sides.find(({ value }) => value === data);
  return side?.axis ?? 1;
}

/** The mean, or mean magnitude, of each index of an axis over all records. */
export async function meansOf(
  model: Model,
  axes: ReadonlyMap<Value, number>,
  isMagnitude: boolean,
  observe: NonNullable<Context["observe"]>,
): Promise<Map<Value, Float64Array>> {
  const sums = new Map<Value, { total: Float64Array; batches: number }>();
  // A branch may not run: what is inside cannot be observed.
  const outside = [...axes].filter(([{ graph }]) => graph === model.graph);
  if (outside.length === 0) return new Map();
  const taps: Tap[] = outside.map(([value, axis]) => ({
    value,
    of: (g, x) => {
      const others = (value.shape ?? []).flatMap((_, i) => (i === axis ? [] : [i]));
      return g.ReduceMean(isMagnitude ? g.Abs(x) : x, g.ints(others), { keepdims: 0 });
    },
  }));
  await observe(model, taps, ({ value }, batch) => {
    const means = batch.floats();
    const sum = sums.get(value) ?? { total: new Float64Array(means.length), batches: 0 };
    sums.set(value, sum);
    for (let i = 0; i < means.length; i++) sum.total[i] += means[i];
    sum.batches++;
  });
  return new Map(
    [...sums].map(([value, { total, batches }]) => [value, total.map((x) => x / batches)]),
  );
}
