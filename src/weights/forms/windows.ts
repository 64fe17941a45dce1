/** @file Windows: filters that are all windows of larger meta filters. */
import type { Value } from "../../ir/graph.ts";
import type { Builder } from "../../ops/builder.ts";
import { defineForm, learns, type Shape } from "../form.ts";

/**
 * W [m a b, C, k, l] from meta filters [m, C, k + a - 1, l + b - 1], with a b windows in each:
 *   W[(i, p, q), c, y, x] = meta[i, c, p + y, q + x]
 */
export const windows = defineForm({
  kind: "windows",
  cite: "Zhai et al. 2016, arXiv 1610.09716, section 2",
  doc: "W = windows of meta filters",
  theta: { meta: learns({ channels: 0 }) },
  build: (g, { meta }, shape) =>
    g.Reshape(
      g.Transpose(windowsOf(g, meta, shape), { perm: [0, 2, 4, 1, 3, 5] }),
      g.ints(shape, "shape"),
    ),
  examples: [{ shape: [8, 2, 3, 3], theta: { meta: [2, 2, 4, 4] } }],
});

/** All windows of the last two axes: [.., H, W] -> [.., H - k + 1, k, W - l + 1, l]. */
export function windowsOf(g: Builder, meta: Value, shape: Shape): Value {
  const dims = meta.shape as Shape;
  const rows = (size: number, window: number): Value => {
    const count = size - window + 1;
    if (count < 1) throw new Error(`a window of ${window} does not fit into ${size}`);
    const places = Array.from(
      { length: count * window },
      (_, i) => Math.floor(i / window) + (i % window),
    );
    return g.constant(places, { dtype: "int64", shape: [count, window], name: "places" });
  };
  const [height, width] = dims.slice(-2);
  const [k, l] = shape.slice(-2);
  const down = rows(height, k);
  const across = width === height && l === k ? down : rows(width, l);
  return g.Gather(g.Gather(meta, down, { axis: -2 }), across, { axis: -1 });
}
