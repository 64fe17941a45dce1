/** @file Codebook: every weight is an index into a short vector of shared values. */
import { quantizeChannels } from "../../numeric/quantize.ts";
import { defineForm, type Form, integers, leafOf, learns, type Part, type Shape } from "../form.ts";
import { type Composed, composed, type Leaf, leaf, wholeLeaf } from "../weight.ts";

/** Largest number of entries; more would need indices too wide to pay. */
const LARGEST = 2 ** 16;

const ofEntries = (kind: string, codebook: Part): Form<"codebook" | "index"> => ({
  kind,
  cite: "Han et al. 2016, arXiv 1510.00149, section 3",
  doc: "W = c[i], c a vector of shared values",
  theta: { codebook, index: integers("int32", 0, LARGEST - 1) },
  build: (g, { codebook: c, index }) => g.Gather(c, index, { axis: 0 }),
  examples: [{ shape: [6, 4], theta: { codebook: [5], index: [6, 4] } }],
  elements: "index",
});

/**
 * W = c[i]. If weights were pruned, entry 0 is 0, so that zero indices can be left out of the file.
 */
export const codebook = defineForm({
  ...ofEntries("codebook", learns()),
  withZeros(theta, isZero) {
    const entries = leafOf<Float32Array>({ theta }, "codebook").values;
    const index = leafOf<Uint16Array>({ theta }, "index");
    const first = zeroFirst(entries, index.values);
    const zeroed = first.index.map((entry, i) => (isZero(i) ? 0 : entry));
    return partsOf(usedOnly(first.codebook, zeroed), index.shape);
  },
  /** The entries are rounded to int8 with one scale; the indices stay. */
  toInt8({ shape, theta }, _, rounding) {
    const entries = leafOf<Float32Array>({ theta }, "codebook").values;
    if (entries.length > 256) return null;
    const options = { ...rounding, symmetric: true };
    const { q, scales } = quantizeChannels(entries, [entries.length], null, options);
    const rounded = wholeLeaf(q, [q.length], true, 8);
    const levels = composed(codebookInt8, shape, { codebook: rounded, index: theta.index });
    return { levels, scale: scales, axis: null };
  },
});

/** A codebook of int8 entries below a DequantizeLinear. */
export const codebookInt8 = defineForm(ofEntries("codebook of int8", integers("int8", -128, 127)));

interface Entries {
  readonly codebook: Float32Array;
  readonly index: Uint16Array;
}

/** The weight of `shape` whose element i is entries.codebook[entries.index[i]]. */
export const codebookOf = (entries: Entries, shape: Shape): Composed =>
  composed(codebook, shape, partsOf(entries, shape));

/** The fewest bits that address so many entries, at least 1. */
export function indexBits(entries: number): number {
  let bits = 1;
  while (2 ** bits < entries) bits++;
  return bits;
}

/** The parts, with indices in the fewest bits that address all entries. */
function partsOf({ codebook: c, index }: Entries, shape: Shape): { codebook: Leaf; index: Leaf } {
  return {
    codebook: leaf(c, [c.length]),
    index: wholeLeaf(index, shape, false, indexBits(c.length)),
  };
}

/** The same weights without unused entries, except entry 0: fewer entries may take fewer bits. */
export function usedOnly(entries: Float32Array, index: Uint16Array): Entries {
  const place = new Int32Array(entries.length).fill(-1);
  place[0] = 0;
  for (const entry of index) place[entry] = 0;
  const kept = entries.filter((_, entry) => place[entry] === 0);
  for (let entry = 0, next = 0; entry < place.length; entry++) {
    if (place[entry] === 0) place[entry] = next++;
  }
  return { codebook: kept, index: index.map((entry) => place[entry]) };
}

/** The same weights with 0 as entry 0, which is added if no entry is 0. */
export function zeroFirst(entries: Float32Array, index: Uint16Array): Entries {
  const zero = entries.indexOf(0);
  if (zero === 0) return { codebook: entries, index };
  if (zero < 0) {
    return { codebook: Float32Array.of(0, ...entries), index: index.map((entry) => entry + 1) };
  }
  const swapped = entries.slice();
  [swapped[0], swapped[zero]] = [entries[zero], entries[0]];
  return {
    codebook: swapped,
    index: index.map((entry) => (entry === 0 ? zero : entry === zero ? 0 : entry)),
  };
}
