/** @file The hypervolume of points, against counting the cells of a grid that they dominate. */
import { expect, test } from "vitest";
import { hypervolume } from "../../src/numeric/hypervolume.ts";
import { createRandom } from "../../src/numeric/random.ts";

test("is the number of cells that a point dominates, in one to three dimensions", () => {
  const random = createRandom(4);
  const size = 6;
  for (let i = 0; i < 60; i++) {
    const axes = 1 + (i % 3);
    const count = random.int(7);
    const points = Array.from({ length: count }, () =>
      Array.from({ length: axes }, () => random.int(size + 1)),
    );
    let cells = 0;
    for (let code = 0; code < size ** axes; code++) {
      const cell = Array.from(
        { length: axes },
        (_, axis) => Math.floor(code / size ** axis) % size,
      );
      if (points.some((point) => point.every((x, axis) => x > cell[axis]))) cells++;
    }
    expect(hypervolume(points)).toBe(cells);
  }
});
