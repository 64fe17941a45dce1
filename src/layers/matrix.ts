/**
 * @file A layer's weight as the matrix W of y = W x + b, whatever its operator and its side.
 *
 * W is [outputs, inputs x kernel positions], row-major, positions varying fastest; a linear layer
 * has one position. (`rows.ts` counts inputs fastest, as the inputs' moments do.)
 */
import type { Node, Value } from "../ir/graph.ts";
import { transpose } from "../numeric/matrix.ts";
import { biasInputOf } from "../ops/bias.ts";
import { linearOf } from "../ops/linear.ts";
import { type LayerSite, refusalOf } from "../weights/sites.ts";

/** A convolution, or a product with one matrix, that a chain may replace. */
export interface Layer extends LayerSite {
  readonly kind: "conv" | "linear";
  readonly outputs: number;
  /** Inputs of one group. */
  readonly inputs: number;
  readonly groups: number;
  /** One size per spatial axis; empty for a linear layer. */
  readonly kernel: readonly number[];
  /** W [outputs, inputs x kernel positions]. */
  readonly matrix: Float32Array;
  readonly use: Use;
}

/**
 * How an operator uses W: y = alpha W x + beta bias on the left, y = alpha x W^T + beta
 * bias on the right.
 */
export interface Use {
  readonly side: "left" | "right";
  /** Which of the node's inputs is x. */
  readonly data: number;
  /**
   * Whether the bias is an input of the node. If not, an Add behind the node may add one, and
   * stays.
   */
  readonly hasBias: boolean;
  /** Null if the operator has no factors alpha and beta; both are 1 then. */
  readonly scale: { readonly alpha: number; readonly beta: number } | null;
}

/**
 * The layer of a weight, or the reason why other layers cannot replace it. A grouped convolution is
 * refused unless `grouped` is true: then W is [outputs, inputs of one group x positions].
 */
export function layerOf(
  { node, role, value, weight }: LayerSite,
  options: { readonly grouped?: boolean } = {},
): Layer | string {
  const { shape, values } = weight;
  const closed = refusalOf(value, weight);
  if (closed) return closed;
  if (value.consumers.length > 1) return "its weight is shared by several layers";
  if (role.groups !== 1 && !options.grouped) return "is a grouped convolution";
  const use = useOf(node, node.inputs.indexOf(value));
  if (typeof use === "string") return use;
  const site = { node, role, value, weight };
  if (role.kind === "conv") {
    const [outputs, inputs, ...kernel] = shape;
    return {
      ...{ ...site, kind: "conv", outputs, inputs, groups: role.groups },
      ...{ kernel, matrix: values, use },
    };
  }
  const rank = shape.length;
  if (rank !== 2) return `its weight has ${rank} axes: a matrix for each of a batch`;
  const [outputs, inputs] = [shape[role.outputAxis], shape[role.inputAxis]];
  const turned = () => transpose(values, inputs, outputs, new Float32Array(values.length));
  const matrix = role.outputAxis === 0 ? values : turned();
  return { ...site, kind: "linear", outputs, inputs, groups: 1, kernel: [], matrix, use };
}

/**
 * The value x that the layer reads now. When the layer in front of it is replaced, this is another
 * value than before.
 */
export const inputOf = ({ node, use }: Layer): Value => node.inputs[use.data] as Value;

/**
 * How the node uses its weight, which is input `index`; a reason if no chain can
 * stand in its place.
 */
function useOf(node: Node, index: number): Use | string {
  const linear = linearOf(node);
  if (!linear || linear.kind === "convtranspose") {
    return `${node.op} has no form of several plain layers`;
  }
  const side = index === 0 ? "left" : "right";
  if (linear.kind === "conv") return { side, data: 0, hasBias: true, scale: null };
  if (linear.turned[1 - index]) return "its input is transposed";
  const hasBias = biasInputOf(node) !== null;
  const { alpha, beta } = linear;
  return { side, data: 1 - index, hasBias, scale: hasBias ? { alpha, beta } : null };
}
