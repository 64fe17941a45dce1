/** @file The treemap's boxes: areas as the values are, no gap, no overlap, near to squares. */
import { expect, test } from "vitest";
import { type Box, squarify } from "../../studio/src/parts/squarify.ts";

const area = ({ width, height }: Box) => width * height;
const overlap = (a: Box, b: Box) =>
  Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)) *
  Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));

test("the example of the paper: 6, 6, 4, 3, 2, 2, 1 in 6 x 4", () => {
  const boxes = squarify([6, 6, 4, 3, 2, 2, 1], { x: 0, y: 0, width: 6, height: 4 });
  const rounded = boxes.map(({ x, y, width, height }) =>
    [x, y, width, height].map((side) => Math.round(side * 100) / 100),
  );
  // Figure 5 of the paper, whose y goes up; 4 and 3 stand side by side above 2, 2 and 1.
  expect(rounded).toEqual([
    [0, 0, 3, 2],
    [0, 2, 3, 2],
    [3, 0, 1.71, 2.33],
    [4.71, 0, 1.29, 2.33],
    [3, 2.33, 1.2, 1.67],
    [4.2, 2.33, 1.2, 1.67],
    [5.4, 2.33, 0.6, 1.67],
  ]);
});

test("fills the whole without overlap, whatever the values and their order", () => {
  const whole = { x: 10, y: 20, width: 800, height: 300 };
  const values = [0, 1, 500, 3, 0.001, 44, 45, 500, 0];
  const boxes = squarify(values, whole);
  const sum = values.reduce((all, value) => all + value, 0);
  for (const [i, box] of boxes.entries()) {
    expect(area(box)).toBeCloseTo((values[i] / sum) * area(whole), 6);
    expect(overlap(box, { ...whole, x: 10 - 1e-9, width: 800 + 1e-6 })).toBeCloseTo(area(box), 3);
    for (const other of boxes.slice(i + 1)) expect(overlap(box, other)).toBeLessThan(1e-6);
  }
  expect(squarify([0, 0], whole).map(area)).toEqual([0, 0]);
  expect(squarify([], whole)).toEqual([]);
});
