/** @file S3Pool: while a network is trained, pools stride over rows and columns that are drawn. */
import type { Attribute } from "../ir/attribute.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { tensor } from "../ir/tensor.ts";
import { type Pool, pooledBy, poolsOf } from "../layers/pools.ts";
import type { Random } from "../numeric/random.ts";
import { padding } from "../ops/window.ts";
import { type Latent, type Opened, open, type StepFeed } from "../weights/latent.ts";

/**
 * Opens the pools that stride (Zhai et al. 2017, arXiv 1611.05138): in a step the pool has stride 1, and
 * of each run of `grid` strides along an axis as many of its positions as there are strides are drawn,
 * in order, the same for all records and channels. The network is stored with its own pools, whose
 * positions are one of these draws.
 */
export function openPools(model: Model, grid: number): Opened[] {
  return poolsOf(model).flatMap((pool) => {
    const { output } = pool.node;
    if (output.isOutput) return [];
    return open({ node: pool.node, value: output }, drawn(pool, grid));
  });
}

function drawn({ window, sides, output }: Pool, grid: number): Latent<never> {
  const { strides, kernel, dilations } = window;
  const axes = strides.flatMap((stride, axis) => (stride > 1 ? [axis] : []));
  const ends = sides.map((dim, axis) => padding(window, axis, dim));
  const pads = [...ends.map(([begin]) => begin), ...ends.map(([, end]) => end)];
  const ints = (value: readonly number[]): Attribute => ({ type: "ints", value });
  const feeds = axes.map((axis): [string, StepFeed] => {
    const extent = (kernel[axis] - 1) * dilations[axis] + 1;
    const places = sides[axis] + ends[axis][0] + ends[axis][1] - extent + 1;
    const count = output[axis];
    return [
      `axis${axis}`,
      {
        dtype: "int64",
        shape: [count],
        at: (_, random) =>
          tensor("int64", [count], drawPlaces(count, strides[axis], places, grid, random)),
      },
    ];
  });
  return {
    theta: {},
    feeds: Object.fromEntries(feeds),
    build(g, _, y, drawn) {
      const { op, domain, attributes, name } = y.producer as Node;
      const { auto_pad: _auto, ceil_mode: _ceil, strides: _strides, ...rest } = attributes;
      const dense = g.graph.add(op, [pooledBy(y)], {
        ...{ name: `${name}/dense`, domain },
        attributes: { ...rest, pads: ints(pads) },
      });
      return axes.reduce(
        (x, axis) => g.Gather(x, drawn[`axis${axis}`], { axis: axis + 2 }),
        dense.output,
      );
    },
    close: () => (_, y) => y,
  };
}

/** For each run of `grid` strides of the `places` positions, as many positions as strides, ascending. */
export function drawPlaces(
  count: number,
  stride: number,
  places: number,
  grid: number,
  random: Random,
): number[] {
  const found: number[] = [];
  for (let from = 0; from < count; from += grid) {
    const wanted = Math.min(grid, count - from);
    const first = Math.min(from * stride, places - 1);
    const size = Math.max(1, Math.min((from + wanted) * stride, places) - first);
    const all = random.shuffle(Uint32Array.from({ length: size }, (_, i) => first + i));
    const own = [...all.subarray(0, wanted)].sort((a, b) => a - b);
    // A window that hangs over the map (ceil_mode) has fewer positions than strides.
    while (own.length < wanted) own.push(own.at(-1) ?? first);
    found.push(...own);
  }
  return found;
}
