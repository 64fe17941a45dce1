/** @file Circulant: blocks whose wrapped diagonals each hold one number. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../../ops/builder.ts";
import { product } from "../../util/product.ts";
import { defineForm, integers, learns, type Shape } from "../form.ts";

const cite = "Cheng et al. 2015, arXiv 1502.03436; Ding et al. 2017, arXiv 1708.08917 (blocks)";

/** C [m, n] of r [p, q, b]: the place of each element in r follows from its row x and column y. */
function elements(g: Builder, r: Value, [m, ...others]: Shape): Value {
  const [, across, b] = r.shape as Shape;
  const int = (x: number) => g.constant(x, { dtype: "int64" });
  const [zero, one, block] = [int(0), int(1), int(b)];
  const x = g.Reshape(g.Range(zero, int(m), one), g.ints([-1, 1], "column"));
  const y = g.Range(zero, int(product(others)), one);
  const at = g.Add(g.Mul(g.Div(x, block), int(across)), g.Div(y, block));
  const index = g.Add(g.Mul(at, block), g.Mod(g.Sub(x, y), block));
  return g.Gather(g.Reshape(r, g.ints([-1], "flat")), index, { axis: 0 });
}

/**
 * W [m, n] of circulant blocks [b, b], r [p, q, b] with p = ceil(m / b) and q = ceil(n / b):
 *   W[x, y] = r[x / b, y / b, (x - y) mod b]
 * What stands over m or n is not computed. One block is the circulant projection of Cheng et al.
 */
export const circulant = defineForm({
  kind: "circulant",
  cite,
  doc: "W[x, y] = r[x / b, y / b, (x - y) mod b]",
  theta: { r: learns({ channels: 0 }) },
  build: (g, { r }, shape) => g.Reshape(elements(g, r, shape), g.ints(shape, "shape")),
  examples: [{ shape: [6, 5], theta: { r: [2, 2, 4] } }],
});

/** W = C D or D C with D = diag(s), s [1, n] or [m, 1] of -1 and +1, as Cheng et al. multiply inputs. */
export const signedCirculant = defineForm({
  kind: "circulant with signs",
  cite,
  doc: "W[x, y] = s_y r[x / b, y / b, (x - y) mod b]",
  theta: { r: learns({ channels: 0 }), signs: integers("float32", -1, 1) },
  build: (g, { r, signs }, shape) =>
    g.Reshape(g.Mul(elements(g, r, shape), signs), g.ints(shape, "shape")),
  examples: [{ shape: [6, 5], theta: { r: [2, 2, 4], signs: [1, 5] } }],
});
