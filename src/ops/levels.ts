/** @file Levels: the one number that a node fills a channel with, given what fills its inputs. */
import type { Node } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { activations } from "./evaluate/activation.ts";
import { elementwise } from "./evaluate/elementwise.ts";
import { evaluateNode } from "./evaluate.ts";
import { linearOf } from "./linear.ts";
import { entryOf, type OpTable } from "./table.ts";
import { weightRole } from "./weights.ts";

/** Null where it varies, or nobody can tell. */
export type Level = number | null;

/** One channel of a node: what the rule may ask about it. */
export interface Channel {
  /** What fills the weight at input `index` where it makes this channel: its row of W. */
  row(index: number): Level;
  /** Whether a mean may stand for a constant. */
  readonly isGuess: boolean;
}

/** `levels` are those of the inputs. */
export type LevelRule = (node: Node, levels: readonly Level[], channel: Channel) => Level;

/** A constant stays the same wherever it is moved, and the largest or the mean of equals is the same. */
const first: LevelRule = (_, [x]) => x;

/** f of constants is constant. */
const applied: LevelRule = (node, levels) => {
  if (node.inputs.some((input, i) => input && levels[i] === null)) return null;
  const scalars = node.inputs.map(
    (input, i) => input && tensor(input.dtype ?? "float32", [], Number(levels[i])),
  );
  return evaluateNode(node, scalars)?.[0]?.numbers()[0] ?? null;
};

/** A layer of zeros gives its bias whatever it reads: 0 x + b = b. */
const layer: LevelRule = (node, levels, { row }) => {
  const linear = linearOf(node);
  if (linear?.alpha !== 1 || linear.beta !== 1) return null;
  const isZero = node.inputs.some((_, i) => weightRole(node, i) !== null && row(i) === 0);
  if (!isZero) return null;
  return node.inputs[2] ? levels[2] : 0;
};

/** y = scale (x - mean) / sqrt(variance + epsilon) + bias; the mean of y is the bias. */
const normalized: LevelRule = (node, [x, scale, bias, mean, variance], { isGuess }) => {
  if (scale === 0 || (isGuess && x === null)) return bias;
  if (x === null || scale === null || bias === null || mean === null || variance === null)
    return null;
  return (scale * (x - mean)) / Math.sqrt(variance + node.float("epsilon", 1e-5)) + bias;
};

const rules: OpTable<LevelRule> = {
  ...Object.fromEntries(
    [...Object.keys(elementwise), ...Object.keys(activations)].map((op) => [op, applied]),
  ),
  BatchNormalization: normalized,
  Conv: layer,
  Flatten: first,
  Gemm: layer,
  GlobalAveragePool: first,
  GlobalMaxPool: first,
  Identity: first,
  MatMul: layer,
  MaxPool: first,
  Reshape: first,
  Squeeze: first,
  Transpose: first,
  Unsqueeze: first,
};

/** Null where the operator has no rule: its channels may be anything. */
export function levelRuleOf(node: Node): LevelRule | null {
  return entryOf(rules, node);
}
