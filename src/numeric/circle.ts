/** @file Cosines and sines of equal parts of a turn, with the same bits in every engine (Math.cos may differ). */

/** Points of the unit circle. */
export interface Circle {
  readonly cos: Float64Array;
  readonly sin: Float64Array;
}

/** cos(2 pi m / n) and sin(2 pi m / n) for m < n. */
export function circle(n: number): Circle {
  const points = { cos: new Float64Array(n), sin: new Float64Array(n) };
  for (let m = 0; m < n; m++) [points.cos[m], points.sin[m]] = pointAt(m, n);
  return points;
}

/** The point at m / n of a turn: reduced exactly to an eighth of a turn, where the series is short. */
function pointAt(m: number, n: number): readonly [number, number] {
  const eighth = Math.floor((8 * m) / n);
  const inside = (8 * m - eighth * n) / n;
  // From the next axis backwards in every second eighth, so that x is at most pi / 4.
  const x = (Math.PI / 4) * (eighth % 2 === 0 ? inside : 1 - inside);
  const [c, s] = [cosine(x), sine(x)];
  switch (eighth) {
    case 0:
      return [c, s];
    case 1:
      return [s, c];
    case 2:
      return [-s, c];
    case 3:
      return [-c, s];
    case 4:
      return [-c, -s];
    case 5:
      return [-s, -c];
    case 6:
      return [s, -c];
    default:
      return [c, -s];
  }
}

/** Taylor series, exact to rounding for |x| <= pi / 4. */
function cosine(x: number): number {
  let sum = 1;
  for (let k = 16; k > 0; k -= 2) sum = 1 - (sum * x * x) / (k * (k - 1));
  return sum;
}

function sine(x: number): number {
  let sum = 1;
  for (let k = 17; k > 1; k -= 2) sum = 1 - (sum * x * x) / (k * (k - 1));
  return x * sum;
}
