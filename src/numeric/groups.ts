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

/**
 * Visits all elements in the order in which they are stored, as runs from `start` to `end`. Element
 * start + t belongs to the group `group + t step`: step is 0 where a run lies in one group, and 1 where
 * neighbours lie in neighbouring groups.
 */
export function eachRun(
  shape: readonly number[],
  axis: number | null,
  block: number | null,
  visit: (start: number, end: number, group: number, step: 0 | 1) => void,
): void {
  if (axis === null) {
    visit(0, product(shape), 0, 0);
    return;
  }
  const dim = shape[axis];
  const outer = product(shape.slice(0, axis));
  const inner = product(shape.slice(axis + 1));
  const blocks = block === null ? 0 : Math.ceil(dim / block);
  const step = (block === null) === (inner === 1) ? 1 : 0;
  for (let o = 0; o < outer; o++) {
    for (let j = 0, count = 1; j < dim; j += count) {
      if (inner === 1) count = block === null ? dim : Math.min(block, dim - j);
      const start = (o * dim + j) * inner;
      const group = block === null ? j : (o * blocks + Math.floor(j / block)) * inner;
      visit(start, start + count * inner, group, step);
    }
  }
}

/** Calls `visit` with the values of every group, in an array that is used again. */
export function eachGroup(
  values: Float32Array,
  groups: Layout,
  visit: (group: number, members: Float32Array) => void,
): void {
  // A weight may have millions of groups, so buffers are made once for each length.
  const buffers = new Map<number, readonly [Float32Array, readonly Float32Array[]]>();
  for (let first = 0, together = 1; first < groups.count; first += together) {
    together = neighboursOf(groups, first);
    const size = groups.runs * groups.length(first);
    const [all, each] = buffers.get(size) ?? buffersOf(size, groups.stride === 1 ? 1 : TOGETHER);
    buffers.set(size, [all, each]);
    gather(values, groups, first, together, all);
    for (let t = 0; t < together; t++) visit(first + t, each[t]);
  }
}

/** An array for the values of several groups, and views of each group's. */
function buffersOf(size: number, groups: number): [Float32Array, Float32Array[]] {
  const all = new Float32Array(groups * size);
  const each = Array.from({ length: groups }, (_, t) => all.subarray(t * size, (t + 1) * size));
  return [all, each];
}

/**
 * How many groups beside each other are read at once. The elements of a block may be far
 * apart, and those of the next group are their neighbours: both are in the same cache lines.
 */
const TOGETHER = 16;

/** How many of the groups from `group` on, TOGETHER at most, are of one length and beside each other. */
function neighboursOf({ stride, count }: Layout, group: number): number {
  return Math.min(TOGETHER, stride === 1 ? 1 : stride - (group % stride), count - group);
}

/** Copies the elements of `groups` groups, `neighboursOf` at most, one group after the other. */
function gather(
  values: Float32Array,
  layout: Layout,
  group: number,
  groups: number,
  into: Float32Array,
): void {
  const { runs, stride } = layout;
  const length = layout.length(group);
  for (let run = 0, at = 0; run < runs; run++) {
    let index = layout.start(group, run);
    for (let k = 0; k < length; k++, index += stride, at++) {
      for (let t = 0, to = at; t < groups; t++, to += runs * length) into[to] = values[index + t];
    }
  }
}
