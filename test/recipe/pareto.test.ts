import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Result } from "../../src/measure/measurement.ts";
import { paretoOf } from "../../src/recipe/pareto.ts";

/** A row by what the front looks at: bytes after brotli, speed-up, drop. */
function row(
  recipe: string,
  brotli: number,
  infer: number | null,
  drop: number | null,
  ci95: readonly [number, number] | null = null,
): Result {
  return {
    recipe,
    bytes: { raw: 4 * brotli, brotli },
    delta: { infer, ci95: { infer: ci95 } },
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

  test("without drop and flips the error of the outputs counts, of which the original has none", () => {
    const rows = [
      { ...row("original", 100, 1, 0), metric: null },
      ...[
        ["equal", 90, Infinity, true],
        ["close", 80, 40, false],
        ["worse, not smaller", 85, 30, false],
        ["broken", 80, Number.NEGATIVE_INFINITY, false],
        ["broken as well", 80, Number.NaN, false],
      ].map(([recipe, bytes, sqnr, exact]) => ({
        ...row(recipe as string, bytes as number, 1, null),
        metric: { drop: null, flips: null, sqnr, exact },
      })),
      // As it is read from JSON, which has no infinity.
      {
        ...row("equal, resumed", 90, 1, null),
        metric: { drop: null, flips: null, sqnr: null, exact: true },
      },
    ] as unknown as Result[];
    expect(paretoOf(rows)).toEqual(["equal", "close", "equal, resumed"]);
  });

  test("the original of data without labels is not beaten by outputs that moved", () => {
    const rows = [
      { ...row("original", 100, 1.2, 0), metric: null },
      {
        ...row("smaller, slower, close", 50, 1, null),
        metric: { drop: null, flips: null, sqnr: 60, exact: false },
      },
    ] as unknown as Result[];
    expect(paretoOf(rows)).toEqual(["original", "smaller, slower, close"]);
  });

  test("a drop that is no number is not on the front for that", () => {
    const rows = [row("good", 10, 2, 0), row("broken", 20, 1, Number.NaN)];
    expect(paretoOf(rows)).toEqual(["good"]);
  });

  test("compares bytes of one kind: raw, if brotli is missing for a row", () => {
    const large = { ...row("large", 100, 1, 0), bytes: { raw: 400, brotli: null } } as never;
    // 90 bytes after brotli are not less than 200 raw ones: in the file it is the larger model.
    const small = { ...row("small", 90, 1, 0), bytes: { raw: 600, brotli: 90 } } as never;
    expect(paretoOf([large, small])).toEqual(["large"]);
  });

  test("quality that was not measured is no perfect quality", () => {
    const unknown = row("unknown", 50, 1, null);
    const broken = row("broken", 50, 1, Number.NaN);
    const rows = [row("original", 100, 1, 0), row("small", 50, 1, 2), unknown, broken];
    expect(paretoOf(rows)).toEqual(["original", "small"]);
    // It may still be the smallest, and where no row has it, it does not count.
    expect(paretoOf([rows[0], row("unknown", 10, 1, null)])).toEqual(["original", "unknown"]);
    expect(paretoOf([row("a", 9, 1, null), row("b", 10, 1, null)])).toEqual(["a"]);
  });

  test("compares one kind of quality: flips, if a row has no drop", () => {
    const judged = (recipe: string, brotli: number, drop: number | null, flips: number | null) =>
      ({ ...row(recipe, brotli, 1, 0), metric: { drop, flips, sqnr: null } }) as never;
    // A drop of 1 point is not less than 2 % of flips.
    const rows = [judged("a", 10, 1, 5), judged("b", 10, null, 2)];
    expect(paretoOf(rows)).toEqual(["b"]);
  });

  test("a speed that was not measured is no speed", () => {
    const rows = [row("timed", 10, 0.5, 0), row("untimed", 10, null, 0)];
    expect(paretoOf(rows)).toEqual(["timed"]);
  });

  test("a speed-up that may be noise is no advantage", () => {
    const rows = (ci95: readonly [number, number]) => [
      row("original", 100, 1, 0),
      row("noise", 100, 1.01, 0.1, ci95),
    ];
    expect(paretoOf(rows([0.99, 1.03]))).toEqual(["original"]);
    expect(paretoOf(rows([1.005, 1.03]))).toEqual(["original", "noise"]);
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
