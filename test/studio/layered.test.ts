/** @file The layout of graphs: rows by longest path, no overlaps, few crossings, short edges. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Flat, layered, ranksOf } from "../../studio/src/graph/layered.ts";

const graph = (count: number, ...edges: [number, number][]): Flat => ({
  widths: new Array<number>(count).fill(100),
  edges,
});

describe("rows", () => {
  test("follow the longest path, not the shortest", () => {
    expect(
      ranksOf(4, [
        [0, 1],
        [1, 2],
        [0, 2],
        [2, 3],
      ]),
    ).toEqual([0, 1, 2, 3]);
  });

  test("have a node without inputs right above its first reader", () => {
    expect(
      ranksOf(5, [
        [0, 1],
        [1, 2],
        [2, 3],
        [4, 3],
      ]),
    ).toEqual([0, 1, 2, 3, 2]);
  });

  test("refuse a cycle", () => {
    expect(() =>
      ranksOf(2, [
        [0, 1],
        [1, 0],
      ]),
    ).toThrow(RangeError);
  });
});

test("a chain stands in one column", () => {
  const { x, rows, width } = layered(graph(4, [0, 1], [1, 2], [2, 3]));
  expect(x).toEqual([50, 50, 50, 50]);
  expect(width).toBe(100);
  expect(rows.map(({ nodes }) => nodes)).toEqual([[0], [1], [2], [3]]);
});

test("a diamond is symmetric: both branches beside one another, their ends between them", () => {
  const { x } = layered(graph(4, [0, 1], [0, 2], [1, 3], [2, 3]));
  expect(x[0]).toBeCloseTo((x[1] + x[2]) / 2);
  expect(x[3]).toBeCloseTo((x[1] + x[2]) / 2);
  expect(Math.abs(x[1] - x[2])).toBeCloseTo(124);
});

test("two chains that were given crossed are drawn without a crossing", () => {
  const { x } = layered(graph(4, [0, 3], [1, 2]));
  expect(Math.sign(x[0] - x[1])).toBe(Math.sign(x[3] - x[2]));
});

test("an edge over rows passes each of them beside the nodes; edges of one node share the way", () => {
  const { rows, x } = layered(graph(5, [0, 1], [1, 2], [2, 3], [0, 3], [3, 4], [0, 4]));
  const passed = rows.map(({ segments }) => segments.filter(({ to }) => to < 0).length);
  expect(passed).toEqual([1, 1, 1, 0, 0]);
  const own = rows.flatMap(({ segments }) => segments.filter(({ from }) => from === 0));
  expect(own.filter(({ to }) => to === 3 || to === 4)).toHaveLength(2);
  const [way] = rows[0].segments.filter(({ to }) => to < 0);
  expect(Math.abs(way.x2 - x[1])).toBeGreaterThanOrEqual(50);
});

test("nodes of a row never overlap, and every edge arrives", () => {
  const pairs = fc.array(fc.tuple(fc.nat(29), fc.nat(29)), { maxLength: 60 });
  fc.assert(
    fc.property(pairs, (given) => {
      const edges = given
        .filter(([a, b]) => a !== b)
        .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as [number, number]);
      const { rows, x, width } = layered(graph(30, ...edges));
      for (const { nodes } of rows) {
        for (const [i, node] of nodes.entries()) {
          if (i > 0) expect(x[node] - x[nodes[i - 1]]).toBeGreaterThanOrEqual(100);
          expect(x[node]).toBeGreaterThanOrEqual(49.9);
          expect(x[node]).toBeLessThanOrEqual(width - 49.9);
        }
      }
      const arrived = rows.flatMap(({ segments }) => segments.filter(({ to }) => to >= 0));
      const text = (pairs: readonly string[]) => [...new Set(pairs)].sort();
      expect(text(arrived.map(({ from, to }) => `${from} ${to}`))).toEqual(
        text(edges.map(([from, to]) => `${from} ${to}`)),
      );
    }),
    { numRuns: 50 },
  );
});
