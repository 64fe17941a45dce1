/** @file Operations on single elements of a weight, whatever form it is stored in. */

import { permute } from "../numeric/permute.ts";
import { quantizeChannels } from "../numeric/quantize.ts";
import type { Int8Levels, Rounding, Shape } from "./form.ts";
import {
  type Composed,
  composed,
  type FloatWeight,
  type Leaf,
  leaf,
  type Weight,
  wholeLeaf,
} from "./weight.ts";

/**
 * Whether the weight stores one number for each element of W: plain numbers, and forms that declare
 * `elements` (a grid's levels, a codebook's indices).
 */
export const isElementwise = ({ form }: Weight): boolean => !form || form.elements !== undefined;

/**
 * The leaf that stores one number per element of W, which layouts and cuts of axes work on. Null
 * where there is none.
 */
export function elementsOf(weight: Weight): Leaf | null {
  if (weight.form === null) return weight;
  const { form, theta } = weight;
  return form.elements === undefined ? null : elementsOf(theta[form.elements]);
}

/**
 * The weight with some elements set to zero; the other elements and the form stay the same. The
 * weight has to be `isElementwise`, otherwise this throws an Error.
 */
export function withZeros<W extends Weight>(weight: W, isZero: (element: number) => boolean): W {
  if (weight.form === null) return zeroLeaf(weight, isZero) as Leaf as W;
  const { form, shape, theta } = weight as Composed;
  const { elements } = form;
  if (elements === undefined) throw new Error(`${form.kind} has no elements to set to zero`);
  const zeroed = form.withZeros?.(theta, isZero) ?? {
    ...theta,
    [elements]: withZeros(theta[elements], isZero),
  };
  return composed(form, shape, zeroed) as W;
}

function zeroLeaf({ shape, values, coding }: Leaf, isZero: (element: number) => boolean): Leaf {
  const zeroed = values.map((w, i) => (isZero(i) ? 0 : w)) as typeof values;
  // {-1, +1} in one bit has no zero; {-1, 0, +1} takes two bits.
  const isSign = typeof coding === "object" && coding.signed && coding.bits === 1;
  const wider = isSign && zeroed.includes(0) ? { ...coding, bits: 2 } : coding;
  return { form: null, shape, values: zeroed, coding: wider };
}

/**
 * [rows, columns] -> [columns, rows] in the same form. Null if the form has no
 * elements to transpose.
 */
export function transposed<W extends Weight>(weight: W): W | null {
  const [rows, columns] = weight.shape;
  if (weight.form === null) return turnLeaf(weight, [1, 0]) as Leaf as W;
  const { form, theta, shape } = weight as Composed;
  const own = form.elements === undefined ? null : theta[form.elements];
  if (!own) return null;
  const order = turnedOrder(own.shape, shape);
  const turned = Object.entries(theta).map(([name, part]): [string, Weight] => {
    // Parts that are broadcast against the elements have as many axes, and are transposed like them:
    // scales in a form of their own as the plain numbers that they are.
    const isAligned = part.shape.length === order.length;
    if (name === form.elements && part.form) return [name, transposed(part) ?? part];
    const plain = part.form === null ? part : leaf(part.values, part.shape);
    return [name, isAligned ? turnLeaf(plain, order) : part];
  });
  return composed(form, [columns, rows], Object.fromEntries(turned)) as W;
}

/**
 * The order of axes that transposes the elements. If one axis of the matrix is split into blocks,
 * both of its parts move together.
 */
function turnedOrder(elements: Shape, [rows]: Shape): number[] {
  if (elements.length === 2) return [1, 0];
  return elements[0] === rows ? [1, 2, 0] : [2, 0, 1];
}

function turnLeaf({ shape, values, coding }: Leaf, order: readonly number[]): Leaf {
  const dims = order.map((axis) => shape[axis]);
  return { form: null, shape: dims, values: permute(values, shape, order), coding };
}

/**
 * The weight in int8 for an integer kernel, in the form in which it is stored: the stored numbers
 * themselves if they fit, otherwise W rounded per channel of `axis`, symmetric. The weight has to
 * be `isElementwise`.
 */
export function toInt8(weight: FloatWeight, axis: number, rounding: Rounding): Int8Levels {
  const own = weight.form?.toInt8?.(weight, axis, rounding);
  if (own) return own;
  const { shape, values } = weight;
  const options = { ...rounding, symmetric: true };
  const { q, scales } = quantizeChannels(values, shape, axis, options);
  return { levels: wholeLeaf(q, shape, true, 8), scale: scales, axis };
}
