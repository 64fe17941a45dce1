/** @file Sorts float32 values together with their weights at the speed of a native sort. */

/**
 * The values in ascending order (-0 becomes 0), each with its weight. Each value gets a 64-bit key:
 * above, its bits mapped so that integers order as the floats do; below, the bits of its weight.
 * Typed arrays sort such keys natively.
 */
export function sortWeighted(
  values: Float32Array,
  weights: ArrayLike<number>,
): { x: Float32Array; w: Float32Array } {
  const n = values.length;
  const keys = new BigUint64Array(n);
  const words = new Uint32Array(keys.buffer);
  const floats = new Float32Array(keys.buffer);
  for (let i = 0; i < n; i++) {
    floats[2 * i] = weights[i];
    floats[2 * i + 1] = values[i] + 0;
    const bits = words[2 * i + 1];
    words[2 * i + 1] = bits >>> 31 ? ~bits : bits | 0x80000000;
  }
  keys.sort();
  const x = new Float32Array(n);
  const w = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const bits = words[2 * i + 1];
    words[2 * i + 1] = bits >>> 31 ? bits & 0x7fffffff : ~bits;
    x[i] = floats[2 * i + 1];
    w[i] = floats[2 * i];
  }
  return { x, w };
}
