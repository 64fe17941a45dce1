/** @file Counts the numbers that a weight is stored in. */
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { countZeros } from "../numeric/finite.ts";
import { placesNumbers, storedInputOf } from "../ops/storage.ts";
import { hasTrait } from "../ops/traits.ts";
import { product } from "../util/product.ts";
import { elementsOf } from "./elements.ts";
import { isSparse } from "./layout.ts";
import type { Composed, Leaf, Weight } from "./weight.ts";

export interface Count {
  /** Numbers that the file stores, of all parts theta. */
  readonly numbers: number;
  /** How many of them make an element of W zero, or are zero themselves. */
  readonly zeros: number;
}

/**
 * The numbers of a weight as it was read: those of its form's parts, so an int4 grid has a level per
 * element and its scales, a codebook an index per element and its entries, a Kronecker product its
 * factors, a hashed weight the shared values and the seeds. Of a tensor that is stored without its
 * zeros they are the others; what tells their places is no parameter. Parts that the engine computes
 * from others when it loads the model are not stored. `seen` holds the tensors that were counted
 * before; they are not counted again.
 */
export function countOf(weight: Weight, seen = new Set<Tensor>()): Count {
  if (weight.form === null) return countOfLeaf(weight, seen);
  const { form, theta } = weight;
  const elements = elementsOf(weight);
  let [numbers, zeros] = [0, 0];
  for (const [name, part] of Object.entries(form.theta)) {
    const count = countOf(theta[name], seen);
    numbers += count.numbers;
    const isElements = name === form.elements && count.numbers > 0;
    if (isElements && elements && !isLeftOut(elements)) {
      zeros += isZeroWhereLevelsAre(weight) ? count.zeros : countZeros(weight.values);
    }
    if (!elements && part.learns && part.keepsZeros) zeros += count.zeros;
  }
  return { numbers, zeros };
}

/**
 * Whether exactly the zeros among the elements make zeros of W, so that W need not be computed: the
 * form has no level of its own for zero, and no other part (a scale) has a zero.
 */
function isZeroWhereLevelsAre({ form, theta }: Composed): boolean {
  if (form.withZeros || form.elements === undefined || theta[form.elements].form) return false;
  const others = Object.entries(theta).filter(([name]) => name !== form.elements);
  return others.every(([, part]) => countZeros(part.values) === 0);
}

function countOfLeaf(leaf: Leaf, seen: Set<Tensor>): Count {
  if (!isStored(leaf, seen)) return { numbers: 0, zeros: 0 };
  const length = product(leaf.shape);
  const zeros = (leaf.at && storedZeros(leaf.at)) ?? countZeros(leaf.values);
  return isLeftOut(leaf) ? { numbers: length - zeros, zeros: 0 } : { numbers: length, zeros };
}

/**
 * The zeros of a stored tensor, of integers below a Cast or a Reshape, or of levels without a zero
 * point and with scales that are not zero, which need not be multiplied out; null for any other value.
 */
function storedZeros(value: Value): number | null {
  let at = value;
  for (let node = at.producer; node && !at.tensor; node = at.producer) {
    const source = placesNumbers(node) ? null : storedInputOf(node);
    if (source === null && !hasTrait(node, "converts")) return null;
    const [, scale, ...others] = node.inputs;
    if (source === null && (others.length > 0 || scale?.tensor?.counts.zeros !== 0)) return null;
    at = node.inputs[source ?? 0] as Value;
  }
  const { tensor } = at;
  const isExact = tensor && (at === value || dtypes[tensor.dtype].kind === "int");
  return isExact ? tensor.counts.zeros : null;
}

/**
 * Whether the file has a tensor for the leaf that was not counted before. Otherwise its numbers are
 * another's too, or nodes compute them: int8 scales, say, as the largest weights of each channel.
 */
function isStored({ at }: Leaf, seen: Set<Tensor>): boolean {
  if (!at) return true;
  const fresh = sourcesOf(at).filter((tensor) => !seen.has(tensor));
  for (const tensor of fresh) seen.add(tensor);
  return fresh.length > 0;
}

/** The tensor itself, or those of several numbers that its nodes read; shapes and axes are none. */
function sourcesOf(at: Value): Tensor[] {
  if (at.tensor) return [at.tensor];
  const values = new Set([at]);
  // The set grows while the loop walks it.
  for (const { producer } of values) {
    for (const input of producer?.inputs ?? []) if (input) values.add(input);
  }
  const tensors = [...values].flatMap(({ tensor }) => tensor ?? []);
  return tensors.filter(({ dtype, size }) => dtype !== "int64" && size > 1);
}

/** Whether the file leaves the leaf's zeros out. */
const isLeftOut = ({ at }: Leaf): boolean => at !== undefined && isSparse(at);
