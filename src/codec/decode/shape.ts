/**
 * @file How coders see a tensor: a matrix of rows and columns, where a column is a place in
 * a channel's kernel.
 */

/** The geometry of a tensor: element i is in row floor(i / columns), column i mod columns. */
export interface Shape {
  readonly size: number;
  /** The first dimension: output channels, or rows of a matrix. 1 for a vector. */
  readonly rows: number;
  /** Elements of a row. */
  readonly columns: number;
  /** Elements of one kernel: the product of the dimensions from the third on, 1 for a matrix. */
  readonly kernel: number;
  /** columns / kernel. */
  readonly channels: number;
}

/** The geometry of a tensor of dimensions `dims`. */
export function shapeOf(dims: readonly number[]): Shape {
  const product = (some: readonly number[]) => some.reduce((a, b) => a * b, 1);
  const size = product(dims);
  const rows = dims.length > 1 ? dims[0] : 1;
  const columns = rows && size / rows;
  const kernel = product(dims.slice(2));
  return { size, rows, columns, kernel, channels: kernel && columns / kernel };
}

/**
 * A logarithm in quarters of an octave: 0 for 0, then 1 + 4 log2(x), interpolated linearly within
 * each octave and rounded down.
 */
export function level(x: number): number {
  if (x === 0) return 0;
  const log = 31 - Math.clz32(x);
  return 1 + 4 * log + (log > 1 ? (x >> (log - 2)) & 3 : log > 0 ? (x & 1) * 2 : 0);
}
