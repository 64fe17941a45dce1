/** @file What a chain of stages is as one kernel, by definition: slow, in float64, apart from the code under test. */
import type { Branches, Chain, Stage } from "../../src/layers/chain.ts";
import { createRandom } from "../../src/numeric/random.ts";

/** Row-major [outputs, inputs, ...kernel], of all inputs whatever the groups. */
export interface Kernel {
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

const random = createRandom(71);

export const normal = (length: number, scale = 1): Float64Array =>
  Float64Array.from({ length }, () => Math.fround(random.normal() * scale));

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** A stage of random weights that keep activations near 1. */
export const stage = (
  name: string,
  shape: readonly number[],
  rest: Omit<Partial<Stage>, "shape" | "name"> = {},
): Stage => ({
  ...{ name, shape, ...rest },
  values: normal(sizeOf(shape), 1 / Math.sqrt(sizeOf(shape.slice(1)))),
});

/** Every index of an array of `shape`, in row-major order. */
function* indices(shape: readonly number[]): Generator<number[]> {
  const size = sizeOf(shape);
  for (let flat = 0; flat < size; flat++) {
    const at: number[] = [];
    for (let axis = shape.length - 1, left = flat; axis >= 0; axis--) {
      at.unshift(left % shape[axis]);
      left = Math.floor(left / shape[axis]);
    }
    yield at;
  }
}

const flat = (at: readonly number[], shape: readonly number[]): number =>
  at.reduce((index, i, axis) => index * shape[axis] + i, 0);

/** Zeros where a group does not reach. */
function dense({ shape, values, groups = 1 }: Stage): Kernel {
  const [outputs, inputs, ...sides] = shape;
  const wide = [outputs, inputs * groups, ...sides];
  const result = new Float64Array(sizeOf(wide));
  for (const [n, c, ...at] of indices(shape)) {
    const group = Math.floor(n / (outputs / groups));
    result[flat([n, group * inputs + c, ...at], wide)] = values[flat([n, c, ...at], shape)];
  }
  return { shape: wide, values: result };
}

/** b after a: W[n, c, i + j] += sum_m B[n, m, i] A[m, c, j]. */
function after(b: Kernel, a: Kernel): Kernel {
  const sides = b.shape.slice(2).map((size, axis) => size + a.shape[2 + axis] - 1);
  const shape = [b.shape[0], a.shape[1], ...sides];
  const values = new Float64Array(sizeOf(shape));
  for (const [n, m, ...i] of indices(b.shape)) {
    const factor = b.values[flat([n, m, ...i], b.shape)];
    if (factor === 0) continue;
    for (const [c, ...j] of indices(a.shape.slice(1))) {
      const to = [n, c, ...i.map((x, axis) => x + j[axis])];
      values[flat(to, shape)] += factor * a.values[flat([m, c, ...j], a.shape)];
    }
  }
  return { shape, values };
}

/** In the middle of a larger kernel of zeros. */
function centred(kernel: Kernel, sides: readonly number[]): Kernel {
  const [outputs, inputs, ...own] = kernel.shape;
  const shape = [outputs, inputs, ...sides];
  const values = new Float64Array(sizeOf(shape));
  const shift = own.map((size, axis) => Math.floor((sides[axis] - size) / 2));
  for (const [n, c, ...at] of indices(kernel.shape)) {
    const to = [n, c, ...at.map((x, axis) => x + shift[axis])];
    values[flat(to, shape)] = kernel.values[flat([n, c, ...at], kernel.shape)];
  }
  return { shape, values };
}

/** Branches of different sizes are centred in the largest. */
function joined({ join, branches }: Branches, inputs: number, rank: number): Kernel {
  const own = branches.map((branch) => productOf(branch, inputs, rank));
  const sides = own[0].shape
    .slice(2)
    .map((_, axis) => Math.max(...own.map(({ shape }) => shape[2 + axis])));
  const parts = own.map((kernel) => centred(kernel, sides));
  const [{ shape }] = parts;
  if (join === "concat") {
    const outputs = parts.reduce((sum, part) => sum + part.shape[0], 0);
    const all = parts.flatMap(({ values }) => [...values]);
    return { shape: [outputs, ...shape.slice(1)], values: Float64Array.from(all) };
  }
  const sum = parts[0].values.map((_, i) => parts.reduce((s, { values }) => s + values[i], 0));
  return { shape, values: sum };
}

function productOf(chain: Chain, inputs: number, rank: number): Kernel {
  const identity: Kernel = {
    shape: [inputs, inputs, ...new Array<number>(rank).fill(1)],
    values: Float64Array.from({ length: inputs ** 2 }, (_, i) => +(i % (inputs + 1) === 0)),
  };
  return chain.reduce<Kernel>((before, part) => {
    if (typeof part === "function") throw new Error("not linear");
    const own = "branches" in part ? joined(part, before.shape[0], rank) : dense(part);
    return after(own, before);
  }, identity);
}

/** Of a chain of linear parts in place of a layer whose kernel has these sides. */
export const kernelOf = (chain: Chain, inputs: number, sides: readonly number[]): Kernel =>
  centred(productOf(chain, inputs, sides.length), sides);
