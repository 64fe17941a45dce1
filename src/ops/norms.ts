/** @file Normalizations: which of their inputs scale, shift, and hold running statistics. */
import type { Node, Value } from "../ir/graph.ts";
import { entryOf, type OpTable } from "./table.ts";

/** Indices of inputs in y = scale x' + shift, with x' = (x - mean) / sqrt(variance + epsilon). */
export interface Norm {
  readonly scale: number;
  readonly shift?: number;
  /**
   * The statistics by which inference normalizes each channel. If left out, the operator computes
   * them from its input.
   */
  readonly statistics?: { readonly mean: number; readonly variance: number };
  /**
   * The axis of y along which scale and shift run; y_c is then proportional to them. Null where the
   * scale acts on some elements only (PRelu: on the negative ones).
   */
  readonly channelAxis: 1 | -1 | null;
  /** Whether it subtracts the mean over the channels of each position. */
  readonly centres?: true;
}

const norms: OpTable<Norm> = {
  BatchNormalization: { scale: 1, shift: 2, statistics: { mean: 3, variance: 4 }, channelAxis: 1 },
  GroupNormalization: { scale: 1, shift: 2, channelAxis: 1 },
  InstanceNormalization: { scale: 1, shift: 2, channelAxis: 1 },
  LayerNormalization: { scale: 1, shift: 2, channelAxis: -1, centres: true },
  // Not a normalization, but its slope is a vector of scales too: it learns, and it is no weight.
  PRelu: { scale: 1, channelAxis: null },
  RMSNormalization: { scale: 1, channelAxis: -1 },
};

/** The inputs of a normalization; null for other operators. */
export function normOf(node: Node): Norm | null {
  return entryOf(norms, node);
}

/** The indices of the inputs that scale and shift; empty for other operators. */
export function normInputsOf(node: Node): readonly number[] {
  const { scale, shift } = normOf(node) ?? {};
  return [scale, shift].filter((index) => index !== undefined);
}

/**
 * Whether inference normalizes channels by running statistics of the training set
 * (batch normalization).
 */
export function keepsStatistics(node: Node): boolean {
  return normOf(node)?.statistics !== undefined;
}

/** The scale (gamma) of a batch normalization; null for other operators. */
export function batchScaleOf(node: Node): Value | null {
  const { scale, statistics } = normOf(node) ?? {};
  return scale !== undefined && statistics ? node.inputs[scale] : null;
}

/** What a constant operand of elementwise operators does to the other one. */
const operands: OpTable<"shift" | "scale"> = { Add: "shift", Mul: "scale", Sub: "shift" };

/**
 * Whether a constant operand of the node shifts or scales the other one; null for other operators.
 */
export const operandOf = (node: Node): "shift" | "scale" | null => entryOf(operands, node);
