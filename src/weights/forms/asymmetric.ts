/** @file Asymmetric grid: whole numbers less a zero point, times a scale, per channel or per block. */
import { defineForm, integers, leafOf, learns, type Shape } from "../form.ts";
import { type Composed, composed, leaf, wholeLeaf } from "../weight.ts";
import { layoutOf, type Scales, unsplit } from "./grid.ts";

/** Parts of a level that a zero point is counted in: it may lie between two levels. */
export const FRACTIONS = 16;

/**
 * W = s (q - z / 16). Scale s and zero point z have the same shape, by which they are shared as in
 * `grid`. Weights that are set to 0 get the level next to z / 16, which is 0 exactly if z / 16 is
 * whole.
 */
export const asymmetric = defineForm({
  kind: "asymmetric grid",
  cite: "Jacob et al. 2018, arXiv 1712.05877, eq. 1; Badri, Shaji 2023 (HQQ)",
  doc: "W = s (q - z / 16), q and z whole numbers",
  theta: {
    levels: integers("float32", -128, 127),
    zero: learns({ keepsZeros: false }),
    scale: learns({ keepsZeros: false }),
  },
  build(g, { levels, zero, scale }, shape) {
    const offset = g.Mul(zero, g.constant(1 / FRACTIONS));
    return unsplit(g, g.Mul(g.Sub(levels, offset), scale), levels, shape);
  },
  examples: [
    { shape: [6, 4], theta: { levels: [6, 4], zero: [6, 1], scale: [6, 1] } },
    { shape: [6, 4], theta: { levels: [6, 2, 2], zero: [6, 2, 1], scale: [6, 2, 1] } },
  ],
  elements: "levels",
  withZeros(theta, isZero) {
    const levels = leafOf<Int8Array>({ theta }, "levels");
    const { zero } = theta;
    const at = groupsOf(levels.shape, zero.shape);
    const zeroed = levels.values.map((q, i) =>
      isZero(i) ? Math.round(zero.values[at(i)] / FRACTIONS) : q,
    );
    return { ...theta, levels: { ...levels, values: zeroed } };
  },
});

/** The index of the scale that an element reads, by broadcasting shapes of as many axes. */
function groupsOf(levels: Shape, scale: Shape): (element: number) => number {
  return (element) => {
    let [rest, at, stride] = [element, 0, 1];
    for (let axis = levels.length - 1; axis >= 0; axis--) {
      const place = rest % levels[axis];
      rest = (rest - place) / levels[axis];
      if (scale[axis] > 1) at += place * stride;
      stride *= scale[axis];
    }
    return at;
  };
}

/**
 * An asymmetric grid of `shape` from its levels in the weight's own order. Zero points are in levels, and
 * rounded to whole parts of FRACTIONS; they are in the order of the scales.
 */
export function asymmetricOf(
  q: Int8Array,
  shape: Shape,
  zeros: Float32Array,
  { scales, axis, block, bits }: Scales,
): Composed {
  const layout = layoutOf(shape, axis, block);
  const parts = Int16Array.from(zeros, (z) => Math.round(z * FRACTIONS));
  return composed(asymmetric, shape, {
    levels: wholeLeaf(q, layout.elements, true, bits),
    zero: layout.spread(wholeLeaf(parts, layout.scales, true)),
    scale: layout.spread(leaf(scales, layout.scales)),
  });
}
