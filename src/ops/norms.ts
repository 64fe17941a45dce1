/** @file Normalizations: which of their inputs scale and shift, and which hold running statistics. */
import type { Node } from "../ir/graph.ts";
import { entryOf, type OpTable } from "./table.ts";

/** Indices of inputs. y = scale x' + shift, where x' is x standardized: x' = (x - mean) / sqrt(variance + epsilon). */
export interface Norm {
  readonly scale: number;
  readonly shift?: number;
  /** What inference standardizes by, channel by channel; without it, it is the input's own statistics. */
  readonly statistics?: { readonly mean: number; readonly variance: number };
}

const norms: OpTable<Norm> = {
  BatchNormalization: { scale: 1, shift: 2, statistics: { mean: 3, variance: 4 } },
  GroupNormalization: { scale: 1, shift: 2 },
  InstanceNormalization: { scale: 1, shift: 2 },
  LayerNormalization: { scale: 1, shift: 2 },
  // No normalization, but its slope scales as theirs do: it learns, and is no weight.
  PRelu: { scale: 1 },
  RMSNormalization: { scale: 1 },
};

export function normOf(node: Node): Norm | null {
  return entryOf(norms, node);
}

/** The inputs that scale and shift, by index; none for other operators. */
export function normInputsOf(node: Node): readonly number[] {
  const { scale, shift } = normOf(node) ?? {};
  return [scale, shift].filter((index) => index !== undefined);
}

/** Whether inference standardizes channels by statistics of the training set: batch normalization. */
export function keepsStatistics(node: Node): boolean {
  return normOf(node)?.statistics !== undefined;
}

/** What a constant operand does to what is computed: it is added to it, or it multiplies it. */
const operands: OpTable<"shift" | "scale"> = { Add: "shift", Mul: "scale", Sub: "shift" };

export const operandOf = (node: Node): "shift" | "scale" | null => entryOf(operands, node);
