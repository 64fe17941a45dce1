/**
 * @file Adds up parallel linear branches of one input, as in RepVGG (Ding et al. 2021, arXiv
 * 2101.03697, section 3.3): convolutions, the input itself, and its BatchNormalization.
 */
import type { Node, Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { isOp } from "../ops/table.ts";
import { windowOf } from "../ops/window.ts";
import { product } from "../util/product.ts";
import { affineOf, at } from "./affine.ts";
import { isFoldable, otherReaders } from "./constants.ts";
import { defineRule, type Rewritten } from "./rule.ts";

/** One branch as a convolution. Kernel, pads and dilations have an entry for each spatial axis. */
interface Branch {
  readonly x: Value;
  readonly outputs: number;
  /** Inputs of one group. */
  readonly inputs: number;
  readonly groups: number;
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begins: readonly number[];
  readonly ends: readonly number[];
  /** [outputs, inputs, ...kernel] */
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number> | null;
}

export const mergeBranches = defineRule({
  id: "merge-branches",
  doc: "Conv(x) + Conv(x), Conv(x) + x, Conv(x) + BatchNormalization(x) -> one Conv",
  roots: ["Add"],
  afterTraining: true,
  apply(node, g): Rewritten {
    const [a, b] = node.inputs;
    const first = [a, b].map((value) => value && convOf(value, node)).find(Boolean);
    if (!a || !b || !first) return null;
    const [left, right] = [a, b].map((value) => convOf(value, node) ?? plainOf(value, node, first));
    if (!left || !right || left.x !== right.x) return null;
    if (left.outputs !== right.outputs || left.groups !== right.groups) return null;
    if (left.inputs !== right.inputs || left.kernel.length !== right.kernel.length) return null;
    const merged = merge(left, right);
    if (typeof merged === "string") return merged;
    const { weight, bias, kernel, begins, ends, outputs, inputs, groups } = merged;
    const { dtype } = a.producer?.inputs[1]?.tensor ?? b.producer?.inputs[1]?.tensor ?? {};
    const of = (values: ArrayLike<number>, shape: readonly number[], name: string): Value =>
      g.constant(tensor(dtype ?? "float32", shape, Float64Array.from(values)), { name });
    const w = of(weight, [outputs, inputs, ...kernel], "weight");
    const unlessOnes = (sizes: readonly number[]) => (sizes.some((n) => n !== 1) ? sizes : null);
    const [strides, dilations] = [unlessOnes(merged.strides), unlessOnes(merged.dilations)];
    return g.Conv(left.x, w, bias && of(bias, [outputs], "bias"), {
      pads: [...begins, ...ends],
      ...(strides && { strides }),
      ...(dilations && { dilations }),
      ...(groups > 1 && { group: groups }),
    });
  },
});

/** The value as a convolution with constants that `reader` alone reads; null for others. */
function convOf(value: Value, reader: Node): Branch | null {
  const node = value.producer;
  if (!node || !isOp(node, "Conv") || otherReaders(value, reader)) return null;
  const [x, w, b] = node.inputs;
  if (!x || !w || !isFoldable(w.tensor) || otherReaders(w, node)) return null;
  if (b && !isFoldable(b.tensor)) return null;
  const [outputs, inputs, ...kernel] = w.tensor.shape;
  const { strides, dilations, pads, autoPad } = windowOf(node, kernel);
  if (autoPad !== "NOTSET" && autoPad !== "VALID") return null;
  return {
    ...{ x, outputs, inputs, groups: node.int("group", 1), kernel, strides, dilations },
    begins: pads.slice(0, kernel.length),
    ends: pads.slice(kernel.length),
    weight: w.tensor.numbers(),
    bias: b?.tensor?.numbers() ?? null,
  };
}

/** The other convolution's input, or its BatchNormalization, as a 1 x 1 convolution; else null. */
function plainOf(value: Value, reader: Node, { x, outputs, inputs, groups, kernel }: Branch) {
  const channels = { count: inputs * groups, after: kernel.length, rank: kernel.length + 2 };
  const norm = value.producer;
  const isNorm = norm !== null && isOp(norm, "BatchNormalization") && !otherReaders(value, reader);
  const affine = value === x ? { x, scale: 1, shift: 0 } : isNorm ? affineOf(norm, channels) : null;
  if (affine?.x !== x || outputs !== channels.count) return null;
  const [ones, zeros] = [kernel.map(() => 1), kernel.map(() => 0)];
  const weight = new Float64Array(outputs * inputs);
  for (let m = 0; m < outputs; m++) weight[m * inputs + (m % inputs)] = at(affine.scale, m);
  const bias = Float64Array.from({ length: outputs }, (_, m) => at(affine.shift, m));
  return {
    ...{ x, outputs, inputs, groups, kernel: ones, strides: ones, dilations: ones },
    ...{ begins: zeros, ends: zeros, weight, bias: isNorm ? bias : null },
  };
}

/**
 * The sum of two convolutions. Tap u of a kernel reads position d u - begin, so a kernel lies at
 * (P - begin) / d in one whose padding begins at P, the larger of the two. The number of outputs
 * follows from begin + end - d (k - 1), which has to be equal.
 */
function merge(a: Branch, b: Branch): Branch | string {
  const axes = a.kernel.map((_, axis) => {
    const d = a.kernel[axis] > 1 ? a.dilations[axis] : b.dilations[axis];
    const [p, q] = [a.begins[axis], b.begins[axis]];
    const rest = (of: Branch): number =>
      of.begins[axis] + of.ends[axis] - (of.kernel[axis] > 1 ? d * (of.kernel[axis] - 1) : 0);
    const begin = Math.max(p, q);
    const offsets = [(begin - p) / d, (begin - q) / d];
    const kernel = Math.max(offsets[0] + a.kernel[axis], offsets[1] + b.kernel[axis]);
    const end = rest(a) + d * (kernel - 1) - begin;
    const fits =
      a.strides[axis] === b.strides[axis] &&
      (a.kernel[axis] === 1 || b.kernel[axis] === 1 || a.dilations[axis] === b.dilations[axis]) &&
      rest(a) === rest(b) &&
      offsets.every(Number.isInteger) &&
      end >= 0;
    return { fits, d, begin, end, offsets, kernel };
  });
  if (axes.some(({ fits }) => !fits)) return "the branches read the input at other positions";
  const kernel = axes.map(({ kernel }) => kernel);
  if (product(kernel) > product(a.kernel) + product(b.kernel)) {
    return "one kernel would have more weights than both";
  }
  const weight = new Float64Array(a.outputs * a.inputs * product(kernel));
  for (const [side, branch] of [a, b].entries()) {
    const taps = product(branch.kernel);
    for (let i = 0; i < branch.weight.length; i++) {
      let [rest, place, stride] = [i % taps, 0, 1];
      for (let axis = kernel.length - 1; axis >= 0; axis--) {
        const tap = rest % branch.kernel[axis];
        rest = (rest - tap) / branch.kernel[axis];
        place += (tap + axes[axis].offsets[side]) * stride;
        stride *= kernel[axis];
      }
      weight[Math.floor(i / taps) * product(kernel) + place] += branch.weight[i];
    }
  }
  const biases = [a.bias, b.bias].filter((bias) => bias !== null);
  const sum = new Float64Array(a.outputs);
  for (const bias of biases) for (let m = 0; m < sum.length; m++) sum[m] += bias[m];
  if (!weight.every(Number.isFinite) || !sum.every(Number.isFinite))
    return "a weight would overflow";
  return {
    ...a,
    ...{ kernel, weight, bias: biases.length > 0 ? sum : null },
    begins: axes.map(({ begin }) => begin),
    ends: axes.map(({ end }) => end),
    dilations: axes.map(({ d, kernel }) => (kernel > 1 ? d : 1)),
  };
}
