/**
 * @file Folds scales and shifts of channels (Mul, Add, Sub, Div, BatchNormalization) into the
 * weights of the linear node before or after them.
 */
import { Graph, type Node, type Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { isOp } from "../ops/table.ts";
import {
  type Affine,
  affineInput,
  affineOf,
  affineOps,
  type Channels,
  channelConstant,
  compose,
  every,
  isAll,
  type PerChannel,
  zip,
} from "./affine.ts";
import { otherReaders } from "./constants.ts";
import { type Linear, linearMaking, linearReading } from "./linear.ts";
import { defineRule, type Rewritten } from "./rule.ts";

export const foldScale = defineRule({
  id: "fold-scale",
  doc: "Conv, Gemm, MatMul, ConvTranspose or BatchNormalization beside a constant Mul, Add, Sub, Div -> its weights and bias",
  roots: affineOps.filter((op) => op !== "BatchNormalization"),
  apply: fold,
});

export const foldBatchNorm = defineRule({
  id: "fold-batchnorm",
  doc: "BatchNormalization after or before Conv, Gemm, MatMul, ConvTranspose -> their weights and bias",
  roots: ["BatchNormalization"],
  afterTraining: true,
  apply: fold,
});

/** Folds into the linear node before, otherwise into those after. */
function fold(node: Node, g: Builder): Rewritten {
  const x = affineInput(node);
  if (!x || node.inputs.filter((input) => input === x).length !== 1) return null;
  const back = foldBack(node, x);
  if (back !== null && typeof back !== "string") return back;
  return foldForward(node, g) ?? back;
}

/**
 * Folds into the linear node before, also across nodes with which scale and shift commute:
 *
 *   scale (W x + b) + shift = (scale W) x + (scale b + shift)
 */
function foldBack(node: Node, x: Value): Rewritten {
  let value = x;
  let reader = node;
  const crossed: Node[] = [];
  for (;;) {
    const linear = linearMaking(value);
    if (linear) {
      const read = otherReaders(value, reader);
      if (read) return read;
      const affine = affineOf(node, linear.outputs);
      if (!affine) return null;
      if (!crossed.every((passed) => commutes(passed, affine))) return null;
      return linear.absorbOutput(affine.scale, affine.shift) ?? x;
    }
    const { producer } = value;
    if (!producer || !passes(producer) || otherReaders(value, reader)) return null;
    crossed.push(producer);
    reader = producer;
    value = producer.inputs[0] as Value;
  }
}

/** A linear node after the affine one, and the nodes between them. */
interface Receiver {
  readonly linear: Linear;
  readonly crossed: readonly Node[];
}

/**
 * Folds into every linear node that reads the result:
 *
 *   W (scale x + shift) + b = (W scale) x + (W shift + b)
 *
 * Where only the scale can be folded, because zero padding is not shifted, x + shift / scale
 * remains.
 */
function foldForward(node: Node, g: Builder): Rewritten {
  const targets = targetsOf(node);
  if (typeof targets === "string" || targets === null) return targets;
  const channels = targets[0].linear.inputs;
  const affine = chainOf(node, channels);
  if (!affine) return null;
  const { x, scale, shift } = affine;
  if (endsNormalization(x)) return `the engine fuses ${node.name} with the normalization before it`;
  const blocked = (s: PerChannel, t: PerChannel): string | null => {
    for (const { linear, crossed } of targets) {
      const step: Affine = { x, scale: s, shift: t };
      const stop = crossed.find((passed) => !commutes(passed, step));
      if (stop) return `${node.name} does not commute with ${stop.name}`;
      const reason = linear.checkInput(s, t);
      if (reason) return reason;
    }
    return null;
  };
  const absorb = (s: PerChannel, t: PerChannel): string | null => {
    for (const { linear } of targets) {
      const reason = linear.absorbInput(s, t);
      if (reason) return reason;
    }
    return null;
  };
  const whole = blocked(scale, shift);
  if (!whole) return absorb(scale, shift) ?? x;
  // A BatchNormalization stays, because the engine runs it in its blocked layout, but not an
  // addition.
  if (isAll(scale, 1) || isAll(shift, 0) || node.op === "BatchNormalization") return whole;
  const rest = zip(shift, scale, (t, s) => t / s);
  if (!every(rest, Number.isFinite) || blocked(scale, 0)) return whole;
  const { dtype } = (node.inputs.find((input) => input?.tensor) as Value).tensor ?? {};
  const sum = g.Add(x, channelConstant(g, rest, channels, dtype ?? "float32"));
  return absorb(scale, 0) ?? sum;
}

/** The linear nodes that read the node's result; a reason where other nodes read it, too. */
function targetsOf(node: Node): readonly [Receiver, ...Receiver[]] | string | null {
  const targets: Receiver[] = [];
  let other: string | null = null;
  for (const { user } of node.output.uses) {
    const target = user instanceof Graph ? null : targetBehind(user, node.output);
    if (target) targets.push(target);
    else other = user instanceof Graph ? "a graph output" : user.name;
  }
  if (targets.length === 0) return null;
  // The same node may read the result twice, or two nodes on the way; then it cannot be folded.
  if (new Set(targets.map(({ linear }) => linear.node)).size < targets.length) return null;
  const [first, ...rest] = targets;
  if (other) return `${node.name} is also read by ${other}`;
  return rest.every(
    ({ linear }) =>
      linear.inputs.count === first.linear.inputs.count &&
      linear.inputs.after === first.linear.inputs.after,
  )
    ? [first, ...rest]
    : null;
}

/**
 * The linear node that reads `value` through `user` and nodes that scales and shifts can cross, or
 * null.
 */
function targetBehind(user: Node, value: Value): Receiver | null {
  const crossed: Node[] = [];
  let reader = user;
  let read = value;
  for (;;) {
    const linear = linearReading(reader, read);
    if (linear) return { linear, crossed };
    if (!passes(reader) || reader.inputs[0] !== read) return null;
    crossed.push(reader);
    read = reader.output;
    if (read.isOutput || read.uses.size !== 1) return null;
    reader = read.consumers[0];
  }
}

/**
 * The node and the affine nodes right before it, as one. Only nodes that nothing else
 * reads are included.
 */
function chainOf(node: Node, channels: Channels): Affine | null {
  const last = keepsShape(node, channels) ? affineOf(node, channels) : null;
  const before = last?.x.producer;
  if (!last || !before || linearMaking(last.x) || otherReaders(last.x, node)) return last;
  const first = before && chainOf(before, channels);
  return first ? compose(first, last) : last;
}

/**
 * Whether the variable operand has the shape of the result, so that the constant does not broadcast
 * it.
 */
function keepsShape(node: Node, { count, after, rank }: Channels): boolean {
  if (node.op === "BatchNormalization") return true;
  const [x, constant] = node.inputs[0]?.tensor ? [node.inputs[1], node.inputs[0]] : node.inputs;
  const shape = x?.shape;
  const size = constant?.tensor?.size ?? 0;
  const constantRank = constant?.tensor?.shape.length ?? 0;
  if (size === 1 && (rank === null ? constantRank <= 1 : constantRank < rank)) return true;
  if (!shape || (rank !== null && shape.length !== rank) || shape.length < constantRank)
    return false;
  return size === 1 || shape[shape.length - 1 - after] === count;
}

/**
 * Whether the value is x / sqrt(...) or x * (1 / sqrt(...)). With the scale after it, the engine
 * has one operator for that.
 */
function endsNormalization(value: Value): boolean {
  const node = value.producer;
  if (!node || !(isOp(node, "Div") || isOp(node, "Mul"))) return false;
  return node.inputs.some((input) => {
    const divisor = input?.producer;
    return isOp(divisor, "Sqrt") || divisor?.inputs.some((by) => isOp(by?.producer, "Sqrt"));
  });
}

/**
 * Which scales and shifts of an operator's first input are the same ones of its output: scales of
 * any sign or positive ones, shifts, and ones that differ between channels.
 */
const passing: Readonly<
  Record<string, { scale: "any" | "positive"; shift: boolean; channels: boolean }>
> = {
  Relu: { scale: "positive", shift: false, channels: true },
  LeakyRelu: { scale: "positive", shift: false, channels: true },
  MaxPool: { scale: "positive", shift: true, channels: true },
  GlobalMaxPool: { scale: "positive", shift: true, channels: true },
  GlobalAveragePool: { scale: "any", shift: true, channels: true },
  AveragePool: { scale: "any", shift: true, channels: true },
  DepthToSpace: { scale: "any", shift: true, channels: false },
  SpaceToDepth: { scale: "any", shift: true, channels: false },
  Transpose: { scale: "any", shift: true, channels: false },
  Reshape: { scale: "any", shift: true, channels: false },
  Flatten: { scale: "any", shift: true, channels: false },
  Squeeze: { scale: "any", shift: true, channels: false },
  Unsqueeze: { scale: "any", shift: true, channels: false },
};

function passes(node: Node): boolean {
  return (
    node.domain === "" &&
    Object.hasOwn(passing, node.op) &&
    node.outputs.slice(1).every((output) => output.uses.size === 0)
  );
}

/** Whether this scale and this shift may cross the node. */
function commutes(node: Node, { scale, shift }: Affine): boolean {
  const rule = passing[node.op];
  // Padding zeros that count in the average would not be shifted.
  if (node.int("count_include_pad", 0) !== 0 && !isAll(shift, 0)) return false;
  return (
    (rule.scale === "any" || every(scale, (s) => s > 0)) &&
    (rule.shift || isAll(shift, 0)) &&
    (rule.channels || (typeof scale === "number" && typeof shift === "number"))
  );
}
