/** @file Which elements of a tensor share a scale: all, channels, or blocks along an axis. */
import { product } from "../util/product.ts";

/**
 * Which elements share a scale. Each group consists of `runs` runs; the elements of a run
 * are `stride` apart.
 */
export interface Layout {
  readonly count: number;
  readonly runs: number;
  readonly stride: number;
  readonly start: (group: number, run: number) => number;
  readonly length: (group: number) => number;
}

/** The groups of a tensor of `shape`: all elements, channels, or blocks. */
export function layoutOf(
  shape: readonly number[],
  axis: number | null,
  block: number | null,
): Layout {
  const size = product(shape);
  if (axis === null) {
    return { count: 1, runs: 1, stride: 1, start: () => 0, length: () => size };
  }
  const dim = shape[axis];
  const outer = product(shape.slice(0, axis));
  const inner = product(shape.slice(axis + 1));
  if (block === null) {
    const start = (group: number, run: number) => (run * dim + group) * inner;
    return { count: dim, runs: outer, stride: 1, start, length: () => inner };
  }
  const blocks = Math.ceil(dim / block);
  const first = (group: number) => (Math.floor(group / inner) % blocks) * block;
  return {
    count: outer * blocks * inner,
    runs: 1,
    stride: inner,
    start: (group) =>
      (Math.floor(group / (inner * blocks)) * dim + first(group)) * inner + (group % inner),
    length: (group) => Math.min(block, dim - first(group)),
  };
}

/** Visits the elements of a group, by their flat positions. */
export function eachElement(layout: Layout, group: number, visit: (index: number) => void): void {
  const length = layout.length(group);
  for (let run = 0; run < layout.runs; run++) {
    let index = layout.start(group, run);
    for (let k = 0; k < length; k++, index += layout.stride) visit(index);
  }
}

/** The elements of a group; a view where they lie side by side. */
export function gather(values: Float32Array, layout: Layout, group: number): Float32Array {
  const length = layout.length(group);
  if (layout.runs === 1 && layout.stride === 1) {
    const start = layout.start(group, 0);
    return values.subarray(start, start + length);
  }
  const members = new Float32Array(layout.runs * length);
  let at = 0;
  eachElement(layout, group, (i) => {
    members[at++] = values[i];
  });
  return members;
}
