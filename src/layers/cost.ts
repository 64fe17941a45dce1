/** @file The cost of a chain compared with the layer that it would replace: weights and MACs. */
import type { Dim } from "../ir/graph.ts";
import { windowOf } from "../ops/window.ts";
import { product } from "../util/product.ts";
import {
  type Chain,
  isBranches,
  isInsert,
  type Outline,
  outlinesIn,
  type Placed,
  placeAxes,
} from "./chain.ts";
import { inputOf, type Layer } from "./matrix.ts";

export interface Cost {
  /** Elements of all weights, without biases. */
  readonly params: number;
  /** Multiply-accumulates of one run. */
  readonly macs: number;
}

/**
 * The cost of the layer itself, or of a chain in its place.
 *
 * A stage computes as many positions as the layer's output has along the axes that it or a stage
 * before it owns, and as many as the layer's input has along the others. Inserts cost nothing.
 * Where sizes are not known, the layer counts as giving one position of one record, and reading as
 * many positions along each axis as its stride.
 */
export function costOf(layer: Layer, chain?: Chain<Outline>): Cost {
  const { node, kernel, outputs, inputs, groups } = layer;
  const plain = [{ name: node.name, shape: [outputs, inputs, ...kernel], groups }];
  return costAlong(placeAxes(chain ?? plain, [...kernel.keys()]), sizesOf(layer), new Set());
}

/**
 * Why the chain does not pay, with both figures; null if it takes less of everything in `asked`.
 */
export function whyDearer(
  layer: Layer,
  chain: Chain<Outline>,
  asked: readonly (keyof Cost)[] = ["params", "macs"],
): string | null {
  const [before, after] = [costOf(layer), costOf(layer, chain)];
  const worse = asked.find((what) => after[what] >= before[what]);
  return worse ? `would take ${after[worse]} ${words[worse]}, now ${before[worse]}` : null;
}

const words = { params: "weights", macs: "multiply-accumulates" } as const;

interface Sizes {
  /** Records of a convolution; rows of a product. */
  readonly records: number;
  /** For each spatial axis, the layer's input and output size. */
  readonly axes: readonly { readonly before: number; readonly after: number }[];
}

function sizesOf(layer: Layer): Sizes {
  const { kind, node, kernel, use } = layer;
  const known = (dim: Dim | undefined): number => (typeof dim === "number" ? dim : 1);
  const given = node.output.shape ?? [];
  if (kind === "linear") {
    const axis = given.length - (use.side === "left" && given.length > 1 ? 2 : 1);
    const records = given.reduce<number>((n, dim, i) => (i === axis ? n : n * known(dim)), 1);
    return { records, axes: [] };
  }
  const { strides } = windowOf(node, kernel);
  const got = inputOf(layer).shape ?? [];
  const axes = kernel.map((_, axis) => {
    const [before, after] = [got[2 + axis], given[2 + axis]];
    return typeof before === "number" && typeof after === "number"
      ? { before, after }
      : { before: strides[axis], after: 1 };
  });
  return { records: known(given[0]), axes };
}

/** The cost of a chain; `owned` are the axes that stages in front of it own. */
function costAlong(chain: Chain<Placed<Outline>>, sizes: Sizes, owned: ReadonlySet<number>): Cost {
  const passed = new Set(owned);
  let [params, macs] = [0, 0];
  for (const part of chain) {
    if (isInsert(part)) continue;
    if (isBranches(part)) {
      for (const branch of part.branches) {
        const cost = costAlong(branch, sizes, passed);
        params += cost.params;
        macs += cost.macs;
      }
    }
    for (const { axes } of outlinesIn([part])) for (const axis of axes) passed.add(axis);
    if (isBranches(part)) continue;
    const size = product(part.shape);
    params += size;
    macs += sizes.axes.reduce(
      (n, { before, after }, axis) => n * (passed.has(axis) ? after : before),
      size * sizes.records,
    );
  }
  return { params, macs };
}
