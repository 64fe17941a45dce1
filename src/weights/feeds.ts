/** @file What a step of training gets anew each time: a number of a schedule, or drawn numbers. */
import { tensor } from "../ir/tensor.ts";
import type { Random } from "../numeric/random.ts";
import { product } from "../util/product.ts";
import type { Shape } from "./form.ts";
import type { StepFeed } from "./latent.ts";

/** One number for each step. */
export const scalarFeed = (at: (step: number, random: Random) => number): StepFeed => ({
  dtype: "float32",
  shape: [],
  at: (step, random) => tensor("float32", [], Float32Array.of(at(step, random))),
});

/** A tensor of `shape` whose elements are drawn one by one for each step. */
export const drawnFeed = (shape: Shape, draw: (random: Random) => number): StepFeed => ({
  dtype: "float32",
  shape,
  at: (_, random) =>
    tensor(
      "float32",
      shape,
      Float32Array.from({ length: product(shape) }, () => draw(random)),
    ),
});
