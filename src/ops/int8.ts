/** @file Int8 kernels: which operators ONNX Runtime computes on integers, and their conditions. */
import type { Node, Value } from "../ir/graph.ts";
import type { Builder } from "./builder.ts";
import { entryOf, isOp, type OpTable } from "./table.ts";

/** A layer: uint8 data times int8 weights, summed in int32. */
interface LayerKernel {
  readonly kind: "layer";
  /** Whether the output has to be rounded to uint8 too; otherwise it may be float. */
  readonly roundsOutput: boolean;
  /**
   * Whether the bias has to be stored in int32; with a float bias the engine leaves
   * the node in float.
   */
  readonly wantsIntegerBias: boolean;
}

/** A node without weights, all of whose inputs and outputs have to be uint8. */
interface JoiningKernel {
  readonly kind: "joins";
  /** Where the operator is worth it; without it everywhere. */
  readonly when?: (node: Node) => boolean;
}

/** A node that only moves or picks elements: integers pass it with their scale. */
interface MovingKernel {
  readonly kind: "moves";
  /**
   * The same as an operator that the engine passes integers through, for operators that stop them;
   * null where there is none.
   */
  readonly instead?: (g: Builder, x: Value, node: Node) => Value | null;
}

export type Int8Kernel = LayerKernel | JoiningKernel | MovingKernel;

const joins: JoiningKernel = { kind: "joins" };
const moves: MovingKernel = { kind: "moves" };

/**
 * Whether a node is the product, or one of its factors the sigmoid, of x Sigmoid(x) (SiLU, Swish)
 * or x HardSigmoid(x). In float between integer layers its parts are never fused, because each reads
 * x through a DequantizeLinear of its own; as integers they are two nodes. Other products and
 * sigmoids gain nothing from their integer kernels. The activations of int8-activations.ts join too.
 */
function isGate(node: Node): boolean {
  if (isOp(node, "Sigmoid")) {
    return node.output.consumers.length > 0 && node.output.consumers.every(isGate);
  }
  const [a, b] = node.inputs;
  if (!isOp(node, "Mul") || !a || !b) return false;
  return [
    [a, b],
    [b, a],
  ].some(
    ([x, { producer }]) =>
      (isOp(producer, "Sigmoid") || isOp(producer, "HardSigmoid")) && producer?.inputs[0] === x,
  );
}

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
  Mul: { kind: "joins", when: isGate },
  Reshape: moves,
  Sigmoid: { kind: "joins", when: isGate },
  Squeeze: moves,
  Transpose: moves,
  Unsqueeze: moves,
};

/**
 * The integer kernel of a node; null if there is none, or none that is faster than the float
 * kernel.
 */
export function int8KernelOf(node: Pick<Node, "op" | "domain">): Int8Kernel | null {
  return entryOf(kernels, node);
}

/** Whether a node without weights is to run on integers where its inputs are integers. */
export function joinsIntegers(node: Node): boolean {
  const kernel = int8KernelOf(node);
  return kernel?.kind === "joins" && (kernel.when?.(node) ?? true);
}

/** Whether a layer needs its bias in int32. */
export function wantsIntegerBias(node: Node): boolean {
  const kernel = int8KernelOf(node);
  return kernel?.kind === "layer" && kernel.wantsIntegerBias;
}

/**
 * Whether an operator name in the engine's profile means that a layer with an int8
 * kernel ran in float.
 */
export function isFloatLayer(op: string): boolean {
  return int8KernelOf({ op: op.replace(/^Fused/, ""), domain: "" })?.kind === "layer";
}
