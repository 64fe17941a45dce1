/** @file A convolution that the tests of its gradients' forms start from. */
import type { Geometry } from "../../src/ops/grad/conv-geometry.ts";

/** Four filters of [3, 3, 2] on [6, 5], padded by one on all sides but the last. */
export const plain: Geometry = {
  batch: 2,
  filters: 4,
  depth: 3,
  kernel: [3, 2],
  strides: [1, 1],
  dilations: [1, 1],
  group: 1,
  sides: [6, 5],
  output: [6, 5],
  begins: [1, 1],
};
