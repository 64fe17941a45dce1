/** @file Finds floats that are integers times a scale, as weight-only quantization leaves them. */

/** The largest magnitude of an integer. */
const REACH = 1 << 15;

/**
 * The scale and the integers (symbols) with Math.fround(symbol * scale) = value, bit for bit, or
 * null.
 *
 * `counts` has the bits of the distinct values as keys, or is null where these are too many. The
 * step is estimated by Euclid's algorithm; the scale is that step or a float32 next to it. There is
 * no scale for -0, NaN and infinities.
 */
export function findGrid(
  values: Float32Array,
  counts: Map<number, number> | null,
): { scale: number; symbols: Int32Array } | null {
  const distinct = counts
    ? [...new Float32Array(Int32Array.from(counts.keys()).buffer)]
    : [...values.subarray(0, 4096)];
  if (distinct.some((x) => !Number.isFinite(x) || Object.is(x, -0))) return null;
  const sizes = [...new Set(distinct.map(Math.abs))].filter((x) => x > 0).sort((a, b) => a - b);
  if (sizes.length === 0) return null;
  const step = commonStep(sizes);
  if (step === null) return null;
  for (const scale of neighbours(step)) {
    const on = (x: number) => Math.fround(Math.round(x / scale) * scale) === x;
    if (!distinct.every(on)) continue;
    const symbols = new Int32Array(values.length);
    for (let i = 0; i < values.length; i++) {
      const symbol = Math.round(values[i] / scale);
      // The condition is negated so that it also refuses NaN.
      if (!(Math.abs(symbol) <= REACH && Math.fround(symbol * scale) === values[i])) return null;
      if (Object.is(values[i], -0)) return null;
      symbols[i] = symbol;
    }
    return { scale, symbols };
  }
  return null;
}

/**
 * A scale for each row, or column, of a matrix and the integers (symbols) with Math.fround(symbol *
 * scale) = value; null as soon as a line has none, which for most tensors is the first.
 */
export function findGrids(
  values: Float32Array,
  rows: number,
  byColumn: boolean,
): { scales: Float32Array<ArrayBuffer>; symbols: Int32Array } | null {
  const columns = values.length / rows;
  const [lines, length] = byColumn ? [columns, rows] : [rows, columns];
  // A scale takes as many bytes as an element.
  if (length < 4) return null;
  const scales = new Float32Array(lines);
  const symbols = new Int32Array(values.length);
  const line = new Float32Array(length);
  const at = (i: number, n: number) => (byColumn ? n * columns + i : i * columns + n);
  for (let i = 0; i < lines; i++) {
    for (let n = 0; n < length; n++) line[n] = values[at(i, n)];
    // A line of zeros is on every grid.
    if (line.every((x) => Object.is(x, 0))) continue;
    const grid = findGrid(line, new Map(Array.from(bitsOf(line), (bits) => [bits, 1])));
    if (!grid) return null;
    scales[i] = grid.scale;
    for (let n = 0; n < length; n++) symbols[at(i, n)] = grid.symbols[n];
  }
  return { scales, symbols };
}

const bitsOf = (line: Float32Array): Int32Array => new Int32Array(line.buffer);

/**
 * Euclid's algorithm on the magnitudes `sizes`, in ascending order, which are known to 24
 * bits; then the step that fits the largest one best. Null if the step would be smaller
 * than largest / REACH.
 */
function commonStep(sizes: readonly number[]): number | null {
  const largest = sizes[sizes.length - 1];
  const noise = largest * 2 ** -21;
  let step = sizes[0];
  for (const size of sizes) {
    let a = size;
    let b = step;
    while (b > noise) [a, b] = [b, Math.abs(a - Math.round(a / b) * b)];
    step = a;
    if (step * REACH < largest) return null;
    const steps = Math.round(size / step);
    if (steps > 0) step = size / steps;
  }
  return largest / Math.round(largest / step);
}

const word = new DataView(new ArrayBuffer(4));

/** The float32 nearest to `x` and the 8 on either side of it, nearest first. */
function neighbours(x: number): number[] {
  word.setFloat32(0, x);
  const centre = word.getInt32(0);
  return Array.from({ length: 17 }, (_, i) => {
    word.setInt32(0, centre + (i % 2 ? (i + 1) / 2 : -i / 2));
    return word.getFloat32(0);
  });
}
