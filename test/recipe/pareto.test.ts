import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Result } from "../../src/measure/measurement.ts";
import { paretoOf } from "../../src/recipe/pareto.ts";

/** A row by what the front looks at: bytes after brotli, speed-up, drop. */
function row(recipe: string, brotli: number, infer: number | null, drop: number | null): Result {
  return {
    recipe,
    bytes: { raw: 4 * brotli, brotli },
    delta: { infer, train: null },
    metric: { drop, flips: null },
  } as unknown as Result;
}

describe("paretoOf", () => {
  test("leaves out what another beats, keeps what is best at something", () => {
    const results = [
      row("original", 100, 1, 0),
      row("small", 10, 1, 2),
      row("fast", 80, 3, 1),
      row("worse than small", 11, 1, 2),
      row("twin of small", 10, 1, 2),
      row("control", 90, 0.9, 30),
    ];
    expect(paretoOf(results)).toEqual(["original", "small", "fast", "twin of small"]);
  });

  test("the front: nothing on it is beaten, everything off it is", () => {
    const point = fc.tuple(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 0, max: 6 }),
    );
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 12 }), (points) => {
        const front = new Set(paretoOf(points.map(([a, b, c], i) => row(String(i), a, b, c))));
        const beats = (p: number[], q: number[]): boolean =>
          p[0] <= q[0] && p[1] >= q[1] && p[2] <= q[2] && p.join() !== q.join();
        for (const [i, q] of points.entries()) {
          expect(front.has(String(i))).toBe(!points.some((p) => beats(p, q)));
        }
      }),
    );
  });
});
