/**
 * @file The linear operators as Linear (linear-parts.ts): Conv, ConvTranspose, Gemm, MatMul with
 * its bias, and BatchNormalization.
 */
import type { Node, Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { isOp } from "../ops/table.ts";
import { product } from "../util/product.ts";
import { affineInput, at, type Channels, every, type PerChannel, perChannel } from "./affine.ts";
import { isFoldable, otherReaders } from "./constants.ts";
import { fromParts, type Layout, type Linear, overflow, setConstantInput } from "./linear-parts.ts";

export type { Linear } from "./linear-parts.ts";

/** The linear node whose result is `value`, or null. */
export function linearMaking(value: Value): Linear | null {
  const node = value.producer;
  if (node && isOp(node, "Add")) {
    const product = affineInput(node)?.producer;
    const linear = product && isOp(product, "MatMul") ? linearOf(product) : null;
    return linear?.output === value ? linear : null;
  }
  const linear = node && linearOf(node);
  return linear?.output === value ? linear : null;
}

/** `node` as a linear node, if it reads `value` once, as its variable input; else null. */
export function linearReading(node: Node, value: Value): Linear | null {
  const reads = node.inputs.filter((input) => input === value).length;
  return reads === 1 && node.inputs[0] === value ? linearOf(node) : null;
}

/** The node as a linear one, or null. */
export function linearOf(node: Node): Linear | null {
  return node.domain === "" && Object.hasOwn(forms, node.op) ? forms[node.op](node) : null;
}

/** By operator: the node as a linear one, or null where its form is not supported. */
const forms: Readonly<Record<string, (node: Node) => Linear | null>> = {
  Conv: (node) => convolution(node, false),
  ConvTranspose: (node) => convolution(node, true),
  Gemm: gemm,
  MatMul: matMul,
  BatchNormalization: batchNorm,
};

/** W is [M, C/group, kernel]; for a ConvTranspose it is [C, M/group, kernel]. */
function convolution(node: Node, transposed: boolean): Linear | null {
  const shape = numericShape(node.inputs[1]);
  if (!shape || shape.length < 3) return null;
  const group = node.int("group", 1);
  const taps = product(shape.slice(2));
  const [rows, columns] = shape;
  const row = (i: number): number => Math.floor(i / (columns * taps));
  const column = (i: number): number =>
    Math.floor(row(i) / (rows / group)) * columns + (Math.floor(i / taps) % columns);
  const bias = vectorBias(node, 2);
  const rank = shape.length;
  const channels = (count: number): Channels => ({ count, after: rank - 2, rank });
  return fromParts({
    node,
    output: node.output,
    inputs: channels(transposed ? rows : columns * group),
    outputs: channels(transposed ? columns * group : rows),
    layout: transposed ? { in: row, out: column } : { out: row, in: column },
    noShift: transposed
      ? `an addition cannot pass ${node.name}: its borders see fewer taps`
      : isPadded(node, taps)
        ? `an addition cannot pass the zero padding of ${node.name}`
        : null,
    bias,
    setBias: (values) => setConstantInput(node, 2, values, [transposed ? columns * group : rows]),
  });
}

/** Whether zeros are added at the borders. */
function isPadded(node: Node, taps: number): boolean {
  const mode = node.text("auto_pad", "NOTSET");
  if (mode === "NOTSET") return (node.ints("pads") ?? []).some((pad) => pad !== 0);
  return mode !== "VALID" && taps > 1;
}

/** Y = alpha A B + beta C, with B [K, N], or [N, K] if transposed. */
function gemm(node: Node): Linear | null {
  const shape = numericShape(node.inputs[1]);
  const [a, b, c] = node.inputs;
  if (shape?.length !== 2 || !a || a.tensor || node.int("transA", 0) !== 0) return null;
  const transposed = node.int("transB", 0) !== 0;
  const [rows, columns] = shape;
  const beta = node.float("beta", 1);
  const outputs: Channels = { count: transposed ? rows : columns, after: 0, rank: 2 };
  const stored = c?.tensor && isFoldable(c.tensor) ? perChannel(c.tensor, outputs) : null;
  return fromParts({
    node,
    output: node.output,
    inputs: { count: transposed ? columns : rows, after: 0, rank: 2 },
    outputs,
    layout: matrixLayout(columns, transposed),
    noShift: null,
    bias: !c ? 0 : stored === null ? `the bias of ${node.name} is no row` : scaleBy(stored, beta),
    setBias(values) {
      setConstantInput(node, 2, values, [outputs.count], b?.tensor?.dtype);
      node.set("beta", null);
    },
    alpha: node.float("alpha", 1),
  });
}

/** Y = A B with B [K, N], and the Add of a row that follows, if there is one. */
function matMul(node: Node): Linear | null {
  const [a, b] = node.inputs;
  const shape = numericShape(b);
  if (shape?.length !== 2 || !a || a.tensor) return null;
  const [rows, columns] = shape;
  const rank = a.shape?.length ?? node.output.shape?.length ?? null;
  if (rank === 1) return null;
  const outputs: Channels = { count: columns, after: 0, rank };
  const add = biasAdd(node);
  const row = add?.inputs.findIndex((input) => input?.tensor);
  const stored = add && perChannel(add.inputs[row as number]?.tensor as Tensor, outputs);
  const biased = add && stored !== null ? add : null;
  return fromParts({
    node,
    output: biased ? biased.output : node.output,
    inputs: { count: rows, after: 0, rank },
    outputs,
    layout: matrixLayout(columns, false),
    noShift: null,
    bias: biased ? (stored as PerChannel) : 0,
    noBias: biased ? null : `${node.name} has no bias to take the addition`,
    setBias(values) {
      if (biased) setConstantInput(biased, row as number, values, [columns]);
    },
  });
}

/** The Add of a constant that alone reads the node's output. */
function biasAdd(node: Node): Node | null {
  const [reader] = node.output.consumers;
  return isOp(reader, "Add") &&
    affineInput(reader) === node.output &&
    !otherReaders(node.output, reader)
    ? reader
    : null;
}

/**
 * S (x - mean) / sqrt(var + epsilon) + B. Output scales and shifts go into S and B, input
 * ones into S and mean.
 */
function batchNorm(node: Node): Linear | null {
  const count = node.inputs[1]?.tensor?.size;
  const rank = node.inputs[0]?.shape?.length ?? node.output.shape?.length;
  if (!affineInput(node) || count === undefined || rank === undefined || rank < 2) return null;
  const channels: Channels = { count, after: rank - 2, rank };
  const vector = (index: number): Float64Array =>
    Float64Array.from(node.inputs[index]?.tensor?.numbers() ?? []);
  const set = (index: number, values: Float64Array): void =>
    setConstantInput(node, index, values, [count]);
  const checkInput: Linear["checkInput"] = (scale) =>
    every(scale, (s) => s !== 0 && Number.isFinite(1 / s)) ? null : overflow(node);
  return {
    node,
    output: node.output,
    inputs: channels,
    outputs: channels,
    checkInput,
    absorbInput(scale, shift) {
      const blocked = checkInput(scale, shift);
      if (blocked) return blocked;
      set(
        1,
        vector(1).map((s, c) => s * at(scale, c)),
      );
      set(
        3,
        vector(3).map((mean, c) => (mean - at(shift, c)) / at(scale, c)),
      );
      return null;
    },
    absorbOutput(scale, shift) {
      set(
        1,
        vector(1).map((s, c) => s * at(scale, c)),
      );
      set(
        2,
        vector(2).map((b, c) => b * at(scale, c) + at(shift, c)),
      );
      return null;
    },
  };
}

/** The layout of a matrix whose rows are input channels, or output channels if `transposed`. */
function matrixLayout(columns: number, transposed: boolean): Layout {
  const row = (i: number): number => Math.floor(i / columns);
  const column = (i: number): number => i % columns;
  return transposed ? { out: row, in: column } : { out: column, in: row };
}

/** The bias in input `index`, 0 if there is none, or the reason why it cannot be changed. */
function vectorBias(node: Node, index: number): PerChannel | string {
  const bias = node.inputs[index];
  if (!bias) return 0;
  if (!isFoldable(bias.tensor)) return `the bias of ${node.name} is computed, not stored`;
  return Float64Array.from(bias.tensor.numbers());
}

function scaleBy(v: PerChannel, factor: number): PerChannel {
  return typeof v === "number" ? v * factor : v.map((x) => x * factor);
}

/** A shape that is known in full, or null. */
function numericShape(value: Value | null | undefined): readonly number[] | null {
  const shape = value?.tensor?.shape ?? value?.shape;
  return shape?.every((dim) => typeof dim === "number") ? (shape as readonly number[]) : null;
}
