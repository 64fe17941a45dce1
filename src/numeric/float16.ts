/** @file Converts float16 and bfloat16 to and from float32, rounding to nearest even. */

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);

/** The value of the 16 bits `h` of a float16. */
export function fromFloat16(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const mantissa = h & 1023;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Infinity;
  return exponent === 0
    ? sign * mantissa * 2 ** -24
    : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** The 16 bits of the float16 nearest to the float32 `x`; infinity beyond 65504. */
export function toFloat16(x: number): number {
  single[0] = x;
  const bits = word[0];
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds to more than 65504
  if (magnitude < 0x38800000) {
    // A subnormal half is a multiple of 2^-24; ties round to even.
    const scaled = Math.abs(single[0]) * 2 ** 24;
    const floor = Math.floor(scaled);
    const rest = scaled - floor;
    return sign | (floor + (rest > 0.5 || (rest === 0.5 && floor & 1) ? 1 : 0));
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** The value of the 16 bits `b` of a bfloat16, which are the high half of a float32. */
export function fromBfloat16(b: number): number {
  word[0] = b << 16;
  return single[0];
}

/** The 16 bits of the bfloat16 nearest to the float32 `x`. */
export function toBfloat16(x: number): number {
  single[0] = x;
  const bits = word[0];
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
