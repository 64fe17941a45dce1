/**
 * @file k-means of vectors up to transforms and scales:
 *
 *   minimize sum_i u_i |x_i - a_i T_i b_i|^2
 *
 * over bases b, the base and the transform T of each vector x, and its scale a (1 if unscaled). The
 * transforms move numbers and may negate them: (T b)[p] = s b[places_T[p]]. For given bases the best
 * scale of a copy is <x, T b> / |T b|^2. For given copies each number q of a base is
 *   b[q] = sum u a s x[p] / sum u a^2   over all vectors and p with places[p] = q
 * so that both steps of Lloyd's iteration never raise the error.
 */

/** How copies may differ from their bases. */
export interface Copying {
  /** How many numbers a base has; vectors may have fewer. */
  readonly size: number;
  /** Of each transform: which number of the base each number of the vector is. */
  readonly places: readonly Uint32Array[];
  /** Whether copies may be negated. */
  readonly signed: boolean;
  /** Whether each copy has a scale of its own. */
  readonly scaled: boolean;
}

/** Vectors x [n, length], each with the weight u of its error. */
export interface Vectors {
  readonly x: Float64Array;
  readonly length: number;
  readonly weights: Float64Array;
}

export interface Copies {
  /** [count, size] */
  readonly bases: Float64Array;
  /** Of each vector: its base, its transform, whether it is negated, its scale (>= 0). */
  readonly base: Uint16Array;
  readonly transform: Uint16Array;
  readonly negated: Uint8Array;
  readonly scale: Float64Array;
  /** u |x - a T b|^2 of each vector. */
  readonly errors: Float64Array;
}

const ITERATIONS = 5;
/** An iteration that lowers the error by less than this share is the last. */
const ENOUGH = 0.01;
/** Multiplications that one fit may take; for larger problems there are fewer iterations. */
const WORK = 1e9;

export const total = (numbers: Float64Array): number => numbers.reduce((sum, x) => sum + x, 0);

/** u |x|^2 of each vector: the error of copies of nothing. */
export function energies({ x, length, weights }: Vectors): Float64Array {
  return weights.map((u, i) => {
    let sum = 0;
    for (let p = i * length; p < (i + 1) * length; p++) sum += x[p] * x[p];
    return u * sum;
  });
}

/** Copies of `count` bases, or of fewer where fewer leave no error. */
export const fitCopies = (vectors: Vectors, copying: Copying, count: number): Copies =>
  fitFrom(vectors, copying, startsOf(vectors, copying, count, 0), count);

/**
 * Copies of as few bases as leave at most the error `budget` (found by bisection); null if `most`
 * leave more.
 */
export function fewestCopies(
  vectors: Vectors,
  copying: Copying,
  budget: number,
  most: number,
): Copies | null {
  const starts = startsOf(vectors, copying, most, budget);
  const fits = (count: number): Copies | null => {
    const found = fitFrom(vectors, copying, starts, count);
    return total(found.errors) <= budget ? found : null;
  };
  let high = starts.length;
  let best = fits(high);
  if (!best) return null;
  for (let low = 0; high - low > 1 + high / 32; ) {
    const middle = (low + high) >> 1;
    const found = fits(middle);
    if (found) [high, best] = [middle, found];
    else low = middle;
  }
  return best;
}

/**
 * Vectors that start as bases: each is the one whose error is largest under those before, until the
 * error falls to `enough`. In a larger base it lies where others resemble most of the base's windows.
 */
function startsOf(
  vectors: Vectors,
  copying: Copying,
  most: number,
  enough: number,
): Float64Array[] {
  const outlines = outlinesOf(copying);
  let errors = energies(vectors);
  const nothing = 1e-12 * total(errors);
  const starts: Float64Array[] = [];
  while (starts.length < Math.max(1, most)) {
    const far = errors.indexOf(errors.reduce((a, b) => Math.max(a, b)));
    if (starts.length > 0 && errors[far] <= nothing) break;
    const tried = outlines.map((outline) => {
      const base = baseOf(vectors, copying.size, outline, far);
      const found = assign(vectors, copying, base).errors;
      const left = errors.map((error, i) => Math.min(error, found[i]));
      left[far] = 0;
      return { base, left, sum: total(left) };
    });
    const best = tried.reduce((a, b) => (b.sum < a.sum ? b : a));
    starts.push(best.base);
    errors = best.left;
    if (best.sum <= enough) break;
  }
  return starts;
}

/** One transform for each part of a base that vectors can be copies of: one for each window. */
const outlinesOf = ({ places }: Copying): Uint32Array[] =>
  [
    ...new Map(places.toReversed().map((place) => [place.toSorted().join(), place])).values(),
  ].reverse();

/** The base of which vector i is the copy by the transform `place`. Numbers outside of it are 0. */
function baseOf({ x, length }: Vectors, size: number, place: Uint32Array, i: number): Float64Array {
  const base = new Float64Array(size);
  for (let p = 0; p < length; p++) base[place[p]] = x[i * length + p];
  return base;
}

/** Lloyd's iteration from the first `count` starts. */
function fitFrom(
  vectors: Vectors,
  copying: Copying,
  starts: readonly Float64Array[],
  count: number,
): Copies {
  const chosen = starts.slice(0, count);
  const bases = new Float64Array(chosen.length * copying.size);
  for (const [k, start] of chosen.entries()) bases.set(start, k * copying.size);
  let best = assign(vectors, copying, bases);
  const work = vectors.x.length * chosen.length * copying.places.length;
  const iterations = Math.min(ITERATIONS, Math.floor(WORK / work));
  for (let i = 0; i < iterations; i++) {
    const next = assign(vectors, copying, basesOf(vectors, copying, best));
    const [before, after] = [total(best.errors), total(next.errors)];
    if (!(after < before)) break;
    best = next;
    if (after > (1 - ENOUGH) * before) break;
  }
  return usedOnly(best, copying.size);
}

/**
 * The best copy of any base for each vector. Here most of the time is spent: vectors are filled up
 * with zeros so that four products at a time can be written out.
 */
function assign(vectors: Vectors, copying: Copying, bases: Float64Array): Copies {
  const { x, length, weights } = vectors;
  const { size, places, signed, scaled } = copying;
  const [n, count] = [weights.length, bases.length / size];
  const wide = (length + 3) & ~3;
  const bank = new Float64Array(count * places.length * wide);
  const squares = new Float64Array(count * places.length);
  for (let k = 0, j = 0; k < count; k++) {
    for (const place of places) {
      for (let p = 0; p < length; p++) {
        const b = bases[k * size + place[p]];
        bank[j * wide + p] = b;
        squares[j] += b * b;
      }
      j++;
    }
  }
  const found: Copies = {
    bases,
    base: new Uint16Array(n),
    transform: new Uint16Array(n),
    negated: new Uint8Array(n),
    scale: new Float64Array(n),
    errors: energies(vectors),
  };
  const own = new Float64Array(wide);
  for (let i = 0; i < n; i++) {
    for (let p = 0; p < length; p++) own[p] = x[i * length + p];
    let [best, most, along] = [-1, scaled ? 0 : Number.NEGATIVE_INFINITY, 0];
    for (let j = 0, at = 0; j < squares.length; j++) {
      let product = 0;
      for (let p = 0; p < wide; p += 4, at += 4) {
        product +=
          own[p] * bank[at] +
          own[p + 1] * bank[at + 1] +
          own[p + 2] * bank[at + 2] +
          own[p + 3] * bank[at + 3];
      }
      const towards = signed && product < 0 ? -product : product;
      if (scaled && towards <= 0) continue;
      // What the copy takes from |x|^2: <x, T b>^2 / |T b|^2, or 2 <x, T b> - |T b|^2.
      const gain = scaled ? (towards * towards) / squares[j] : 2 * towards - squares[j];
      if (gain > most) {
        best = j;
        most = gain;
        along = product;
      }
    }
    // A vector that points away from every base, or is zero, is a copy with scale 0.
    if (best < 0) continue;
    found.base[i] = Math.floor(best / places.length);
    found.transform[i] = best % places.length;
    found.negated[i] = signed && along < 0 ? 1 : 0;
    found.scale[i] = scaled ? Math.abs(along) / squares[best] : 1;
    found.errors[i] = Math.max(0, found.errors[i] - weights[i] * most);
  }
  return found;
}

/** The least-squares bases for given copies; numbers that no vector is a copy of stay. */
function basesOf(vectors: Vectors, { size, places }: Copying, copies: Copies): Float64Array {
  const { x, length, weights } = vectors;
  const sums = new Float64Array(copies.bases.length);
  const squares = new Float64Array(copies.bases.length);
  const members = new Uint32Array(copies.bases.length / size);
  for (let i = 0; i < weights.length; i++) {
    const place = places[copies.transform[i]];
    const scale = copies.scale[i] * (copies.negated[i] ? -1 : 1);
    if (scale === 0) continue;
    members[copies.base[i]]++;
    for (let p = 0; p < length; p++) {
      const q = copies.base[i] * size + place[p];
      sums[q] += weights[i] * scale * x[i * length + p];
      squares[q] += weights[i] * scale * scale;
    }
  }
  const bases = copies.bases.map((b, q) => (squares[q] > 0 ? sums[q] / squares[q] : b));
  // A base without copies starts again from the vector with the largest error.
  const errors = copies.errors.slice();
  for (const [k, count] of members.entries()) {
    if (count > 0) continue;
    const far = errors.indexOf(errors.reduce((a, b) => Math.max(a, b), 0));
    errors[far] = 0;
    bases.fill(0, k * size, (k + 1) * size);
    for (let p = 0; p < length; p++) bases[k * size + places[0][p]] = x[far * length + p];
  }
  return bases;
}

/** The same copies without bases that have none. */
function usedOnly(copies: Copies, size: number): Copies {
  const place = new Map<number, number>();
  for (const k of copies.base) if (!place.has(k)) place.set(k, place.size);
  const bases = new Float64Array(place.size * size);
  for (const [k, at] of place)
    bases.set(copies.bases.subarray(k * size, (k + 1) * size), at * size);
  return { ...copies, bases, base: copies.base.map((k) => place.get(k) as number) };
}

/**
 * For up to `most` vectors spread over all: the share of its energy that the best copy of any other
 * vector explains, <x, T y>^2 / |x|^2 |T y|^2. Vectors of zeros are left out.
 */
export function similarities(vectors: Vectors, copying: Copying, most: number): Float64Array {
  const n = vectors.weights.length;
  const ones = { ...vectors, weights: new Float64Array(n).fill(1) };
  const energy = energies(ones);
  const alive = Array.from({ length: n }, (_, i) => i).filter((i) => energy[i] > 0);
  const step = Math.max(1, alive.length / most);
  const chosen = Array.from(
    { length: Math.min(most, alive.length) },
    (_, i) => alive[Math.floor(i * step)],
  );
  const best = new Float64Array(chosen.length);
  const { x, length } = vectors;
  const copy = new Float64Array(length);
  const outlines = outlinesOf(copying);
  for (const j of alive) {
    // With windows, y may lie at each place of a base, and x at each other.
    for (const outline of outlines) {
      const base = baseOf(vectors, copying.size, outline, j);
      for (const place of copying.places) {
        let square = 0;
        for (let p = 0; p < length; p++) {
          copy[p] = base[place[p]];
          square += copy[p] * copy[p];
        }
        if (square === 0) continue;
        for (const [at, i] of chosen.entries()) {
          if (i === j) continue;
          let sum = 0;
          for (let p = 0; p < length; p++) sum += x[i * length + p] * copy[p];
          if (sum < 0 && !copying.signed) continue;
          best[at] = Math.max(best[at], (sum * sum) / (square * energy[i]));
        }
      }
    }
  }
  return best;
}
