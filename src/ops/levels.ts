/** @file Levels: the constant with which a node fills a channel, given those of its inputs. */
import type { Node } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { activations } from "./evaluate/activation.ts";
import { elementwise } from "./evaluate/elementwise.ts";
import { evaluateNode } from "./evaluate.ts";
import { linearOf } from "./linear.ts";
import { entryOf, type OpTable } from "./table.ts";
import { weightRole } from "./weights.ts";

/** The number that fills a channel; null if the channel varies, or if it is not known. */
export type Level = number | null;

/** One channel of a node's output, for rules. */
export interface Channel {
  /**
   * The number that fills the part of the weight at input `index` that makes this
   * channel, its row of W.
   */
  row(index: number): Level;
  /** Whether the mean of a channel may stand for a constant. */
  readonly isGuess: boolean;
}

/** The level of a node's output from the levels of its inputs. */
export type LevelRule = (node: Node, levels: readonly Level[], channel: Channel) => Level;

/** Moving, pooling or averaging a constant gives the same constant. */
const first: LevelRule = (_, [x]) => x;

/** A function of constants is a constant: f(c). */
const applied: LevelRule = (node, levels) => {
  if (node.inputs.some((input, i) => input && levels[i] === null)) return null;
  const scalars = node.inputs.map(
    (input, i) => input && tensor(input.dtype ?? "float32", [], Number(levels[i])),
  );
  return evaluateNode(node, scalars)?.[0]?.numbers()[0] ?? null;
};

/** A layer with a zero row gives its bias, whatever it reads: 0 x + b = b. */
const layer: LevelRule = (node, levels, { row }) => {
  const linear = linearOf(node);
  if (linear?.alpha !== 1 || linear.beta !== 1) return null;
  const isZero = node.inputs.some((_, i) => weightRole(node, i) !== null && row(i) === 0);
  if (!isZero) return null;
  return node.inputs[2] ? levels[2] : 0;
};

/** y = scale (x - mean) / sqrt(variance + epsilon) + bias. The mean of y is the bias. */
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

/** The rule of a node; null if its operator has none, in which case its channels may vary. */
export function levelRuleOf(node: Node): LevelRule | null {
  return entryOf(rules, node);
}
