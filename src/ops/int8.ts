/** @file Which operators ONNX Runtime computes on 8-bit integers, and what it wants of them there. */
import type { Node, Value } from "../ir/graph.ts";
import type { Builder } from "./builder.ts";
import { entryOf, type OpTable } from "./table.ts";

/** A layer: uint8 data, int8 weights, sums in int32. */
interface LayerKernel {
  readonly kind: "layer";
  /** Whether its output has to be rounded to uint8 as well; otherwise it may come out as float. */
  readonly roundsOutput: boolean;
  /** Whether the bias has to be int32 already: the engine leaves the node in float otherwise. */
  readonly wantsIntegerBias: boolean;
}

/** Has no weight; all its inputs and its output have to be uint8. */
interface JoiningKernel {
  readonly kind: "joins";
}

/** Only moves elements, or picks some: integers in, the same integers with the same scale out. */
interface MovingKernel {
  readonly kind: "moves";
  /** The same as an operator through which the engine carries integers, where it does not here. */
  readonly instead?: (g: Builder, x: Value, node: Node) => Value | null;
}

export type Int8Kernel = LayerKernel | JoiningKernel | MovingKernel;

const joins: JoiningKernel = { kind: "joins" };
const moves: MovingKernel = { kind: "moves" };

const kernels: OpTable<Int8Kernel> = {
  Add: joins,
  AveragePool: joins,
  Concat: joins,
  Conv: { kind: "layer", roundsOutput: true, wantsIntegerBias: false },
  Flatten: {
    ...moves,
    instead: (g, x, node) => (node.int("axis", 1) === 1 ? g.Reshape(x, g.ints([0, -1])) : null),
  },
  Gemm: { kind: "layer", roundsOutput: false, wantsIntegerBias: true },
  GlobalAveragePool: joins,
  MatMul: { kind: "layer", roundsOutput: false, wantsIntegerBias: false },
  MaxPool: moves,
  Reshape: moves,
  Squeeze: moves,
  Transpose: moves,
  Unsqueeze: moves,
};

/** Null where there is no integer kernel, or none that is faster than the float one. */
export function int8KernelOf(node: Pick<Node, "op" | "domain">): Int8Kernel | null {
  return entryOf(kernels, node);
}

/** Whether a layer of the plan needs its bias in int32. */
export function wantsIntegerBias(node: Node): boolean {
  const kernel = int8KernelOf(node);
  return kernel?.kind === "layer" && kernel.wantsIntegerBias;
}

/** Whether an operator of the engine's profile computes such a layer in float after all. */
export function isFloatLayer(op: string): boolean {
  return int8KernelOf({ op: op.replace(/^Fused/, ""), domain: "" })?.kind === "layer";
}
