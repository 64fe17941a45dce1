/**
 * @file Replaces an Einsum of activations and a weight by a matrix product. With the subscripts
 * F (free: only in x), K (summed: in x and W) and M (only in W),
 *
 *   y[F, M] = sum_K x[F, K] W[K, M]    = Reshape(MatMul(Reshape(x, [F, |K|]), W as [|K|, |M|]), [F, M])
 *
 * The engine computes MatMul faster, and methods see a layer with a weight.
 */
import type { Dim, Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { parseEinsum } from "../ops/einsum.ts";
import { product } from "../util/product.ts";
import { isFoldable } from "./constants.ts";
import { defineRule } from "./rule.ts";

export const einsumToMatMul = defineRule({
  id: "einsum-to-matmul",
  doc: "Einsum of x and a constant weight -> Transpose, Reshape, MatMul",
  roots: ["Einsum"],
  apply(node, g) {
    const at = node.inputs.findIndex((input) => isFoldable(input?.tensor));
    const [weight, x] = [node.inputs[at], node.inputs[1 - at]];
    if (node.inputs.length !== 2 || !weight?.tensor || !x?.shape || x.tensor) return null;
    if (weight.tensor.dtype !== "float32" || x.dtype !== "float32") return null;
    const ranks = node.inputs.map((input) => (input === weight ? weight.tensor : x)?.shape?.length);
    const { inputs, output } = parseEinsum(node.text("equation", ""), ranks as number[]);
    const [own, fed] = [inputs[at], inputs[1 - at]];
    const axes = axesOf(fed, own, output);
    if (!axes || axes.summed.some((axis) => x.shape?.[fed.indexOf(axis)] !== sizeIn(axis))) {
      return null;
    }
    if (weight.uses.size > 1) return "its weight is shared";
    function sizeIn(axis: string): Dim {
      return weight?.tensor?.shape[own.indexOf(axis)] ?? null;
    }
    const { free, summed, made } = axes;
    const sizes = (some: readonly string[]): number[] => some.map((axis) => Number(sizeIn(axis)));
    // 0 stands for the size that the axis has.
    const reshaped = (value: Value, inner: readonly number[]): Value =>
      g.Reshape(value, g.ints([...free.map(() => 0), ...inner], "shape"));
    const rows = ordered(g, x, fed, [...free, ...summed]);
    const left = summed.length > 1 ? reshaped(rows, [product(sizes(summed))]) : rows;
    const matrix = g.Reshape(
      ordered(g, weight, own, [...summed, ...made]),
      g.ints([product(sizes(summed)), product(sizes(made))], "shape"),
    );
    const y = g.MatMul(left, matrix);
    const split = made.length > 1 ? reshaped(y, sizes(made)) : y;
    return ordered(g, split, [...free, ...made], output);
  },
});

/** The subscripts by what becomes of them; null where the product is no matrix product. */
function axesOf(fed: readonly string[], own: readonly string[], output: readonly string[]) {
  const isSet = (axes: readonly string[]) => new Set(axes).size === axes.length;
  if (![fed, own, output].every(isSet)) return null;
  const free = output.filter((axis) => fed.includes(axis) && !own.includes(axis));
  const made = output.filter((axis) => own.includes(axis) && !fed.includes(axis));
  const summed = own.filter((axis) => fed.includes(axis) && !output.includes(axis));
  const isWhole =
    free.length + made.length === output.length &&
    free.length + summed.length === fed.length &&
    made.length + summed.length === own.length;
  return isWhole && [free, made, summed].every(({ length }) => length > 0)
    ? { free, made, summed }
    : null;
}

/** The value with its axes in another order; itself if they are in that order. */
function ordered(g: Builder, value: Value, from: readonly string[], to: readonly string[]): Value {
  const perm = to.map((axis) => from.indexOf(axis));
  return perm.every((axis, i) => axis === i) ? value : g.Transpose(value, { perm });
}
