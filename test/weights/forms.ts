/** @file Arbitrary stored weights for property tests. */
import fc from "fast-check";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../../src/numeric/float16.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import type { Form } from "../../src/weights/form.ts";

export interface Stored {
  readonly shape: readonly number[];
  readonly form: Form;
}

/** Every kind, shape, share of zeros and number of bits; sizes that are no multiples of anything. */
export const arbitraryForm: fc.Arbitrary<Stored> = fc
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
    const size = shape.reduce((a, b) => a * b, 1);
    const keeps = (): boolean => random.float() < density;
    if (kind === "float") {
      const values = Float32Array.from({ length: size }, () =>
        keeps() ? round(random.normal() / 8, dtype) : 0,
      );
      return { shape, form: { kind, dtype, values } } as Stored;
    }
    if (kind === "codebook") return { shape, form: codebookOf(size, bits, keeps, random) };
    const at = axis < 0 ? null : axis % shape.length;
    const full = [...shape];
    if (at !== null && block) full[at] *= block;
    return { shape: full, form: gridOf(full, Math.min(8, bits), at, block, keeps, random) };
  });

function round(x: number, dtype: string): number {
  if (dtype === "float16") return fromFloat16(toFloat16(x));
  return dtype === "bfloat16" ? fromBfloat16(toBfloat16(x)) : Math.fround(x);
}

/** Entry 0 is 0 in half of them. */
function codebookOf(size: number, bits: number, keeps: () => boolean, random: Random): Form {
  const entries = Math.max(1, 2 ** bits - random.int(2 ** (bits - 1)));
  const codebook = Float32Array.from({ length: entries }, () => random.normal());
  if (random.float() < 0.5) codebook[0] = 0;
  const index = Uint16Array.from({ length: size }, () => (keeps() ? random.int(entries) : 0));
  return { kind: "codebook", codebook, index };
}

function gridOf(
  shape: readonly number[],
  bits: number,
  axis: number | null,
  block: number | null,
  keeps: () => boolean,
  random: Random,
): Form {
  const size = shape.reduce((a, b) => a * b, 1);
  const level = (): number => {
    if (bits === 1) return random.int(2) * 2 - 1;
    return keeps() ? random.int(2 ** bits) - 2 ** (bits - 1) : 0;
  };
  const q = Int8Array.from({ length: size }, level);
  const scales = axis === null ? 1 : block === null ? shape[axis] : size / block;
  const scale = Float32Array.from({ length: scales }, () => 0.001 + random.float());
  return { kind: "grid", bits, q, scale, axis, block: axis === null ? null : block };
}
