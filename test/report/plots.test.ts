/** @file Plots: ticks, scales, the Pareto front against brute force, labels that never collide. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { figuresOf, paretoSvg } from "../../src/report/plots.ts";
import { bentScale, linearTicks, logScale, logTicks } from "../../src/report/scale.ts";
import { frontOf } from "../../src/report/scatter.ts";
import { type Anchor, type Box, placeLabels, shorten, textWidth } from "../../src/report/svg.ts";
import { checkMarkup, hostile, lenet, mobile, unlabelled } from "./fixture.ts";

describe("ticks", () => {
  test("are round and inside", () => {
    expect(linearTicks([0, 1])).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(linearTicks([0.13, 0.61])).toEqual([0.2, 0.3, 0.4, 0.5, 0.6]);
    expect(linearTicks([-3, 3])).toEqual([-3, -2, -1, 0, 1, 2, 3]);
    expect(logTicks([90, 2100])).toEqual([100, 200, 500, 1000, 2000]);
    expect(logTicks([1, 1e5])).toEqual([1, 10, 100, 1000, 10_000, 100_000]);
  });

  test("of a bent scale hold zero, keep their distance and lie inside", () => {
    fc.assert(
      fc.property(
        fc.double({ min: -50, max: 0, noNaN: true }),
        fc.double({ min: 0.01, max: 100, noNaN: true }),
        (lo, hi) => {
          const { at, ticks } = bentScale([lo, hi], [0, 300], 0.125);
          const px = ticks.map(at);
          expect(ticks).toContain(0);
          for (let i = 1; i < px.length; i++) expect(px[i] - px[i - 1]).toBeGreaterThanOrEqual(20);
          expect(Math.min(at(lo), ...px)).toBeGreaterThanOrEqual(-1e-6);
          expect(Math.max(at(hi), ...px)).toBeLessThanOrEqual(300 + 1e-6);
        },
      ),
    );
  });
});

test("a log scale has equal steps for equal ratios, and room at both ends", () => {
  const { at } = logScale([10, 1000], [0, 100]);
  expect(at(100) - at(10)).toBeCloseTo(at(1000) - at(100), 9);
  expect(at(10)).toBeGreaterThan(0);
  expect(at(1000)).toBeLessThan(100);
  expect(Number.isFinite(logScale([5, 5], [0, 100]).at(5))).toBe(true);
});

test("the front is what no other point dominates", () => {
  const coordinate = fc.integer({ min: 0, max: 12 });
  fc.assert(
    fc.property(
      fc.array(fc.record({ x: coordinate, y: coordinate }), { maxLength: 30 }),
      (points) => {
        const dominated = (p: { x: number; y: number }) =>
          points.some((q) => q.x <= p.x && q.y <= p.y && (q.x < p.x || q.y < p.y));
        const spots = (list: readonly { x: number; y: number }[]) =>
          [...new Set(list.map(({ x, y }) => `${x},${y}`))].sort();
        expect(spots(frontOf(points))).toEqual(spots(points.filter((p) => !dominated(p))));
      },
    ),
  );
});

test("labels cover no point, no other label, no obstacle, and stay in the frame", () => {
  const frame: Box = { x: 0, y: 0, width: 500, height: 300 };
  const anchor = fc.record({
    x: fc.integer({ min: 0, max: 500 }),
    y: fc.integer({ min: 0, max: 300 }),
    radius: fc.integer({ min: 2, max: 12 }),
    text: fc.constantFrom("quantize-int8", "prune-channels > train", "a"),
    short: fc.constant("12"),
  });
  const apart = (a: Box, b: Box) =>
    a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
  fc.assert(
    fc.property(
      fc.uniqueArray(anchor, { maxLength: 20, selector: (a: Anchor) => `${a.x},${a.y}` }),
      (anchors) => {
        const obstacle: Box = { x: 200, y: 0, width: 40, height: 300 };
        const placed = placeLabels(anchors, frame, [obstacle]);
        const boxes = placed.flatMap((place) => (place ? [place.box] : []));
        boxes.forEach((box, i) => {
          expect(apart(box, obstacle)).toBe(true);
          expect(box.x >= 0 && box.y >= 0).toBe(true);
          expect(box.x + box.width <= 500 && box.y + box.height <= 300).toBe(true);
          for (const other of boxes.slice(i + 1)) expect(apart(box, other)).toBe(true);
        });
        placed.forEach((place, i) => {
          anchors.forEach(({ x, y, radius }, j) => {
            const dot = { x: x - radius, y: y - radius, width: 2 * radius, height: 2 * radius };
            if (place && i !== j) expect(apart(place.box, dot)).toBe(true);
          });
        });
      },
    ),
  );
});

test("twelve points of a survey all get a label", () => {
  for (const { image } of figuresOf(lenet()).pareto)
    expect(image.markup.match(/class="name"/g)).toHaveLength(12);
});

test("a name is cut in the middle to its room", () => {
  expect(shorten("short", 100)).toBe("short");
  const cut = shorten("features.17/depthwise/Conv", 100);
  expect(cut).toMatch(/^feat.*….*Conv$/);
  expect(textWidth(cut)).toBeLessThanOrEqual(100);
});

describe("figures", () => {
  test("every plot is well-formed, titled, without NaN", () => {
    for (const report of [lenet(), mobile(), hostile(), unlabelled()]) {
      const { pareto, layers } = figuresOf(report);
      for (const { image } of [...pareto, ...layers]) {
        checkMarkup(image.markup);
        expect(image.markup).toMatch(/<title id="[\w-]+">[^<]+<\/title><desc/);
        expect(image.markup).not.toMatch(/NaN|Infinity|undefined|null/);
      }
    }
  });

  test("the standalone plot brings its colours, light and dark", () => {
    const svg = paretoSvg(lenet())!;
    checkMarkup(svg);
    expect(svg).toContain("prefers-color-scheme:dark");
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  });

  test("there is no quality plot without quality", () => {
    const report = lenet();
    const results = report.results.map((row) => ({ ...row, metric: null }));
    const bare = { ...report, results, baseline: { ...report.baseline, metric: null } };
    expect(figuresOf(bare).pareto).toEqual([]);
    expect(paretoSvg(bare)).toBe(null);
  });

  test("of 60 layers 24 are drawn and the rest is summed", () => {
    const [{ image }] = figuresOf(mobile()).layers;
    expect(image.markup).toContain("36 other layers");
  });
});
