/** @file Traits: facts about operators that hold whatever their attributes are. */
import type { Node } from "../ir/graph.ts";
import { entryOf, type OpTable } from "./table.ts";

export type Trait =
  /**
   * Channels do not mix: channel c of the output depends on channel c of the input
   * alone, y_c = f(x_c).
   */
  | "separate"
  /** f(a x) = a f(x) for every a > 0, so a positive factor may be applied before or after it. */
  | "homogeneous"
  /** y = a x + b of its first input x, channel by channel, if its other operands are constants. */
  | "affine"
  /** y = a + b, and nothing else. */
  | "adds"
  /**
   * Follows a batch normalization in networks that are trained with one: an activation, or a sum.
   */
  | "followsNorm"
  /**
   * Turns scores into probabilities or their logarithms. Losses that take scores read
   * its input instead.
   */
  | "probabilities"
  /**
   * The integers of its first output stand for real numbers, q ~ x / s + z: gradients
   * pass straight through.
   */
  | "straightThrough"
  /**
   * Converts real numbers to integers or back. By such nodes the engine finds its integer kernels.
   */
  | "converts"
  /** Gives the elements of its first input in another order or shape. */
  | "rearranges"
  /** Gives means over axes. */
  | "averages"
  /** Runs its body several times; how often is known at run time. */
  | "repeats"
  /** Runs one of its bodies; which one is known at run time. */
  | "branches"
  /** Draws random numbers, so that two equal nodes give different values. */
  | "random";

/** The traits of each operator; operators without an entry have none. */
export const traits: OpTable<readonly Trait[]> = {
  Add: ["separate", "affine", "adds", "followsNorm"],
  AveragePool: ["separate", "homogeneous", "averages"],
  BatchNormalization: ["separate", "affine"],
  Bernoulli: ["random"],
  Celu: ["separate", "followsNorm"],
  Clip: ["separate", "followsNorm"],
  DequantizeLinear: ["converts"],
  Div: ["separate", "affine"],
  Dropout: ["separate", "homogeneous", "random"],
  DynamicQuantizeLinear: ["straightThrough"],
  Elu: ["separate", "followsNorm"],
  Erf: ["separate"],
  Flatten: ["separate", "homogeneous", "rearranges"],
  Gelu: ["separate", "followsNorm"],
  GlobalAveragePool: ["separate", "homogeneous", "averages"],
  GlobalMaxPool: ["separate", "homogeneous"],
  HardSigmoid: ["separate", "followsNorm"],
  HardSwish: ["separate", "followsNorm"],
  Identity: ["separate", "homogeneous", "rearranges"],
  If: ["branches"],
  LeakyRelu: ["separate", "homogeneous", "followsNorm"],
  LogSoftmax: ["probabilities"],
  Loop: ["repeats"],
  MatMulInteger: ["straightThrough"],
  MaxPool: ["separate", "homogeneous"],
  Mish: ["separate", "followsNorm"],
  Mul: ["separate", "affine"],
  Multinomial: ["random"],
  PRelu: ["followsNorm"],
  QuantizeLinear: ["straightThrough", "converts"],
  RandomNormal: ["random"],
  RandomNormalLike: ["random"],
  RandomUniform: ["random"],
  RandomUniformLike: ["random"],
  ReduceMean: ["averages"],
  Relu: ["separate", "homogeneous", "followsNorm"],
  Reshape: ["separate", "homogeneous", "rearranges"],
  Scan: ["repeats"],
  Selu: ["separate", "followsNorm"],
  Sigmoid: ["separate", "followsNorm", "probabilities"],
  Softmax: ["probabilities"],
  Softplus: ["separate"],
  Squeeze: ["separate", "homogeneous", "rearranges"],
  Sub: ["separate", "affine"],
  Swish: ["separate", "followsNorm"],
  Tanh: ["separate"],
  Transpose: ["separate", "homogeneous", "rearranges"],
  Unsqueeze: ["separate", "homogeneous", "rearranges"],
  "com.microsoft:DequantizeLinear": ["converts"],
  "com.microsoft:Gelu": ["separate", "followsNorm"],
  "com.microsoft:QuantizeLinear": ["straightThrough", "converts"],
};

/** Whether the node's operator has the trait; false if there is no node. */
export function hasTrait(
  node: Pick<Node, "op" | "domain"> | null | undefined,
  trait: Trait,
): boolean {
  return node ? (entryOf(traits, node)?.includes(trait) ?? false) : false;
}
