/** @file Arbitrary weights for property tests, with what they stand for in plain arithmetic. */
import fc from "fast-check";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../../src/numeric/float16.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import type { Shape } from "../../src/weights/form.ts";
import { codebookOf } from "../../src/weights/forms/codebook.ts";
import { gridOf } from "../../src/weights/forms/grid.ts";
import { type FloatWeight, leaf } from "../../src/weights/weight.ts";

export interface Stored {
  readonly weight: FloatWeight;
  /** Computed here, not by the form. */
  readonly values: Float32Array;
  readonly kind: "float" | "codebook" | "grid";
  readonly axis: number | null;
  readonly block: number | null;
}

const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

/** Every kind, shape, share of zeros and number of bits; sizes that are no multiples of anything. */
export const arbitraryWeight: fc.Arbitrary<Stored> = fc
  .record({
    kind: fc.constantFrom("float", "codebook", "grid"),
    shape: fc.array(fc.integer({ min: 1, max: 13 }), { minLength: 1, maxLength: 4 }),
    density: fc.constantFrom(1, 0.5, 0.2, 0.05, 0.01, 0),
    dtype: fc.constantFrom("float32", "float16", "bfloat16"),
    bits: fc.integer({ min: 1, max: 9 }),
    axis: fc.integer({ min: -1, max: 3 }),
    block: fc.constantFrom(null, 2, 4),
    seed: fc.integer({ min: 0, max: 1e6 }),
  })
  .map(({ kind, shape, density, dtype, bits, axis, block, seed }) => {
    const random = createRandom(seed);
    const keeps = (): boolean => random.float() < density;
    if (kind === "float") return floats(shape, dtype, keeps, random);
    if (kind === "codebook") return shared(shape, bits, keeps, random);
    const at = axis < 0 ? null : axis % shape.length;
    const full = [...shape];
    if (at !== null && block) full[at] *= block;
    return levels(full, Math.min(8, bits), at, block, keeps, random);
  });

const none = { axis: null, block: null } as const;

function floats(
  shape: Shape,
  dtype: "float32" | "float16" | "bfloat16",
  keeps: () => boolean,
  random: Random,
): Stored {
  const values = Float32Array.from({ length: sizeOf(shape) }, () =>
    keeps() ? round(random.normal() / 8, dtype) : 0,
  );
  return { weight: leaf(values, shape, dtype), values, kind: "float", ...none };
}

function round(x: number, dtype: string): number {
  if (dtype === "float16") return fromFloat16(toFloat16(x));
  return dtype === "bfloat16" ? fromBfloat16(toBfloat16(x)) : Math.fround(x);
}

/** Entry 0 is 0 in half of them. */
function shared(shape: Shape, bits: number, keeps: () => boolean, random: Random): Stored {
  const entries = Math.max(1, 2 ** bits - random.int(2 ** (bits - 1)));
  const codebook = Float32Array.from({ length: entries }, () => random.normal());
  if (random.float() < 0.5) codebook[0] = 0;
  const index = Uint16Array.from({ length: sizeOf(shape) }, () =>
    keeps() ? random.int(entries) : 0,
  );
  const values = Float32Array.from(index, (entry) => codebook[entry]);
  return { weight: codebookOf({ codebook, index }, shape), values, kind: "codebook", ...none };
}

function levels(
  shape: Shape,
  bits: number,
  axis: number | null,
  block: number | null,
  keeps: () => boolean,
  random: Random,
): Stored {
  const size = sizeOf(shape);
  const level = (): number => {
    if (bits === 1) return random.int(2) * 2 - 1;
    return keeps() ? random.int(2 ** bits) - 2 ** (bits - 1) : 0;
  };
  const q = Int8Array.from({ length: size }, level);
  const blocks = axis === null ? null : block;
  const count = axis === null ? 1 : blocks === null ? shape[axis] : size / blocks;
  const scales = Float32Array.from({ length: count }, () => 0.001 + random.float());
  const scaleAt = scaleOf(shape, axis, blocks);
  const values = Float32Array.from(q, (x, i) => Math.fround(x * scales[scaleAt(i)]));
  const weight = gridOf(q, shape, { scales, axis, block: blocks, bits });
  return { weight, values, kind: "grid", axis, block: blocks };
}

/** Which scale an element of a row-major array has. */
export function scaleOf(
  shape: Shape,
  axis: number | null,
  block: number | null,
): (element: number) => number {
  if (axis === null) return () => 0;
  const inner = sizeOf(shape.slice(axis + 1));
  const size = shape[axis];
  const place = (i: number): number => Math.floor(i / inner) % size;
  if (block === null) return place;
  const blocks = size / block;
  return (i) =>
    (Math.floor(i / (inner * size)) * blocks + Math.floor(place(i) / block)) * inner + (i % inner);
}
