import { expect, test } from "vitest";
import { circle } from "../../src/numeric/circle.ts";
import { evenSizes } from "../../src/numeric/even-sizes.ts";

test("equal parts of a turn, to the last digit", () => {
  for (const n of [1, 2, 3, 7, 8, 12, 100, 1001]) {
    const { cos, sin } = circle(n);
    for (let m = 0; m < n; m++) {
      expect(Math.abs(cos[m] - Math.cos((2 * Math.PI * m) / n))).toBeLessThan(1e-15);
      expect(Math.abs(sin[m] - Math.sin((2 * Math.PI * m) / n))).toBeLessThan(1e-15);
    }
  }
  // Exact on the axes, where Math.cos(Math.PI / 2) is not.
  expect([...circle(4).cos, ...circle(4).sin].map((x) => x + 0)).toEqual([
    1, 0, -1, 0, 0, 1, 0, -1,
  ]);
});

test("even sizes keep the product and make the root mean squares the same", () => {
  const parts = [Float64Array.of(1, -3), Float64Array.of(4, 0, 0), Float64Array.of(0.01)];
  const even = evenSizes(parts);
  const size = (x: Float64Array) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length);
  for (const part of even) expect(size(part)).toBeCloseTo(size(even[0]), 12);
  expect(even[0][1] * even[1][0] * even[2][0]).toBeCloseTo(-3 * 4 * 0.01, 12);
  expect(evenSizes([parts[0], new Float64Array(3)])[0]).toEqual(parts[0]);
});
