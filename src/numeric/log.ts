/** @file The natural logarithm with the same bits in every engine (Math.log may differ). */

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const bits = new DataView(new ArrayBuffer(8));

/**
 * ln(x) within 1 ulp, from + - * / alone, after fdlibm's e_log.c. With 1 + f in
 * [sqrt(1/2), sqrt(2)),
 *
 *   x = 2^k (1 + f),   ln(1 + f) = 2 atanh(s),   s = f / (2 + f)
 *
 * and atanh is the minimax polynomial of fdlibm. ln(0) is -Infinity, ln of a negative number NaN.
 */
export function log(x: number): number {
  if (!(x > 0) || x === Number.POSITIVE_INFINITY) {
    return x === 0 ? Number.NEGATIVE_INFINITY : x > 0 ? x : Number.NaN;
  }
  let k = 0;
  if (x < 2 ** -1022) {
    k = -54;
    x *= 2 ** 54;
  }
  bits.setFloat64(0, x);
  const high = bits.getUint32(0);
  // Adding 0x3ff00000 - 0x3fe6a09e (the high word of sqrt(1/2)) carries into the exponent where 1 +
  // f would be sqrt(2) or more.
  const shifted = high + (0x3ff00000 - 0x3fe6a09e);
  k += (shifted >>> 20) - 0x3ff;
  bits.setUint32(0, (shifted & 0xfffff) + 0x3fe6a09e);
  const f = bits.getFloat64(0) - 1;
  const half = 0.5 * f * f;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const even = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
  const odd =
    z *
    (0.6666666666666735 +
      w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
  return s * (half + even + odd) + k * LN2_LOW - half + f + k * LN2_HIGH;
}
