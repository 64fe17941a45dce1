import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Calibrator, calibrate } from "../../src/numeric/calibrate.ts";
import { dequantize, quantize, quantParams } from "../../src/numeric/quantize.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { createHistogram, type Histogram } from "../../src/numeric/sketch.ts";

const calibrators: Calibrator[] = [
  { kind: "minmax" },
  { kind: "percentile", percentile: 99.9 },
  { kind: "entropy" },
  { kind: "mse" },
  { kind: "aciq" },
];

/** i=np.arange(20000); x=((((i*7919)%20011)/20011-0.3)**3*8).astype(np.float32) */
const cubes = Float32Array.from({ length: 20000 }, (_, i) => {
  const v = ((i * 7919) % 20011) / 20011 - 0.3;
  return v * v * v * 8;
});

function histogramOf(values: Float32Array, bins?: number): Histogram {
  const histogram = createHistogram(bins);
  histogram.add(values);
  return histogram;
}

function normals(n: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: n }, () => random.normal());
}

const relu = (values: Float32Array) => values.map((x) => Math.max(0, x));

describe("createHistogram", () => {
  it("counts exactly, however the batches are cut", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.array(
            fc.oneof(
              fc.float({ noNaN: true, noDefaultInfinity: true }),
              fc.float({ min: -2, max: 2, noNaN: true }),
              fc.constantFrom(0, -0, Number.NaN, Infinity, -Infinity),
            ),
          ),
          { maxLength: 6 },
        ),
        (batches) => {
          const h = createHistogram(32);
          for (const batch of batches) h.add(Float32Array.from(batch));
          const all = Float32Array.from(batches.flat());
          const finite = all.filter((x) => Number.isFinite(x));
          const nonzero = finite.filter((x) => x !== 0);
          expect(h.count).toBe(finite.length);
          expect(h.nonFinite).toBe(all.length - finite.length);
          expect(h.zeros).toBe(finite.length - nonzero.length);
          if (finite.length > 0)
            expect([h.min + 0, h.max]).toEqual([Math.min(...finite) + 0, Math.max(...finite) + 0]);
          h.counts.forEach((n, i) => {
            const low = (h.first + i) * h.width;
            expect(n).toBe(nonzero.filter((x) => x >= low && x < low + h.width).length);
          });
          expect(h.counts.reduce((a, b) => a + b, 0)).toBe(nonzero.length);
          // At least a quarter of the window is in use: bins are never needlessly wide.
          if (nonzero.length > 0) {
            const used = (Math.max(h.max, 0) - Math.min(h.min, 0)) / h.width;
            expect(used).toBeGreaterThan(32 / 4);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("has the moments numpy has", () => {
    const h = createHistogram();
    for (let i = 0; i < cubes.length; i += 777) h.add(cubes.subarray(i, i + 777));
    // x.min(), x.max(), x.astype(np.float64).mean(), (x.astype(np.float64)**2).mean()
    expect(h.min).toBeCloseTo(-0.216, 6);
    expect(h.max).toBeCloseTo(2.7434123, 6);
    expect(h.mean).toBeCloseTo(0.46403873649996896, 8);
    expect(h.power).toBeCloseTo(0.755034407806783, 8);
    expect(createHistogram()).toMatchObject({ count: 0, min: 0, max: 0, mean: 0, power: 0 });
  });
});

describe("calibrate", () => {
  it("percentile agrees with numpy within a bin", () => {
    const { width } = histogramOf(cubes);
    // [np.percentile(x, p) for p in (0.05, 99.95, 0.5, 99.5)]
    const both = histogramOf(cubes);
    for (const [percentile, min, max] of [
      [99.9, -0.21492243722826243, 2.7375410152673734],
      [99, -0.20538526810705662, 2.6850746023654946],
    ]) {
      const range = calibrate(both, { kind: "percentile", percentile });
      expect(Math.abs(range.min - min)).toBeLessThan(width);
      expect(Math.abs(range.max - max)).toBeLessThan(width);
    }
    // r=np.maximum(x,0): [np.percentile(r, p) for p in (99.9, 99, 90)]
    const positive = histogramOf(relu(cubes));
    for (const [percentile, max] of [
      [99.9, 2.7316778798103356],
      [99, 2.627569661140441],
      [90, 1.7280863761901866],
    ]) {
      const range = calibrate(positive, { kind: "percentile", percentile });
      expect(range.min).toBe(0);
      expect(Math.abs(range.max - max)).toBeLessThan(width);
    }
    expect(calibrate(both, { kind: "percentile", percentile: 100 })).toEqual(
      calibrate(both, { kind: "minmax" }),
    );
  });

  it("mse comes near the best range that quantizing the values themselves finds", () => {
    const heavy = normals(5000, 2).map((x) => x * x * x);
    for (const values of [normals(5000, 1), heavy, relu(heavy), relu(heavy).map((x) => x - 0.2)]) {
      for (const bits of [4, 8]) {
        const error = (min: number, max: number) => {
          const params = quantParams(min, max, { bits });
          const back = dequantize(quantize(values, params, { bits }), params);
          return back.reduce((sum, y, i) => sum + (y - values[i]) ** 2, 0);
        };
        const h = histogramOf(values);
        const range = calibrate(h, { kind: "mse" }, bits);
        let best = Number.POSITIVE_INFINITY;
        for (let i = 1; i <= 30; i++) {
          for (let j = h.min < 0 ? 1 : 30; j <= 30; j++) {
            best = Math.min(best, error((Math.min(h.min, 0) * j) / 30, (h.max * i) / 30));
          }
        }
        expect(error(range.min, range.max)).toBeLessThan(best * 1.002);
      }
    }
  });

  it("mse counts a bin by halves where an edge between levels divides it", () => {
    const counts = Float64Array.of(9, 1, 4, 2, 1, 3);
    const evenly = 400;
    // Each bin's values, spread evenly over it, many for one.
    const values = Float32Array.from(
      [...counts].flatMap((count, bin) =>
        Array.from({ length: evenly * count }, (_, i) => bin + (i + 0.5) / (evenly * count)),
      ),
    );
    const about = { add() {}, width: 1, first: 0, count: 20, zeros: 0, nonFinite: 0, mean: 0 };
    const range = calibrate({ ...about, counts, min: 0, max: 6, power: 0 }, { kind: "mse" }, 2);
    const errorOf = (max: number): number => {
      const params = quantParams(0, max, { bits: 2 });
      const back = dequantize(quantize(values, params, { bits: 2 }), params);
      return values.reduce((sum, x, i) => sum + (x - back[i]) ** 2, 0);
    };
    const least = Math.min(...Array.from({ length: 600 }, (_, i) => errorOf((i + 1) / 100)));
    expect(range.min).toBe(0);
    expect(errorOf(range.max)).toBeLessThan(1.001 * least);
  });

  it("mse finds the optimal clipping of the normal and Laplace laws", () => {
    // Banner et al. 2018 (arXiv 1810.05723), ACIQ: 2.55 sigma and 5.03 b at 4 bits, 3.28 sigma at 6.
    const sigma = histogramOf(normals(400_000, 3));
    expect(calibrate(sigma, { kind: "mse" }, 4).max / 2.55).toBeCloseTo(1, 1);
    expect(calibrate(sigma, { kind: "mse" }, 6).max / 3.28).toBeCloseTo(1, 1);
    const random = createRandom(4);
    const laplace = Float32Array.from({ length: 400_000 }, () => {
      const u = random.float() - 0.5;
      return -Math.sign(u) * Math.log(1 - 2 * Math.abs(u));
    });
    const range = calibrate(histogramOf(laplace), { kind: "mse" }, 4);
    expect(range.max / 5.03).toBeCloseTo(1, 1);
    expect(-range.min / 5.03).toBeCloseTo(1, 1);
  });

  it("entropy minimises the divergence as TensorRT words it", () => {
    const values = normals(3000, 5).map((x) => x * x * x + 0.3);
    for (const data of [values, relu(values)]) {
      const h = histogramOf(data, 64);
      const range = calibrate(h, { kind: "entropy" }, 3);
      const divergences = new Map<number, number>();
      const largest = Math.max(-h.min, h.max);
      for (let i = 1; i <= 128; i++) {
        const t = Math.ceil((largest * i) / 128 / h.width);
        const low = Math.max(-t, Math.floor(Math.min(h.min, 0) / h.width));
        const high = Math.min(t, Math.ceil(h.max / h.width));
        if (high - low < 8) continue;
        divergences.set(high * h.width, tensorRt(data, h.width, low, high, 8));
      }
      const best = Math.min(...divergences.values());
      const chosen = Math.ceil(range.max / h.width) * h.width;
      expect(divergences.get(chosen)).toBeCloseTo(best, 9);
      expect(divergences.get(chosen)).toBeLessThan(Math.max(...divergences.values()));
    }
  });

  it("entropy spreads a level over those of its bins that hold values, outliers in the ends included", () => {
    // Few values leave most bins empty, so that it decides over which of them a level is spread.
    let decided = 0;
    for (let seed = 0; seed < 60; seed++) {
      const values = normals(40, seed).map((x) => x * x * x);
      const h = histogramOf(seed % 2 ? values : relu(values), 32);
      const [bottom, top] = [Math.min(h.min, 0), Math.max(h.max, 0)];
      const tried = Array.from({ length: 128 }, (_, i) => {
        const t = Math.ceil((Math.max(-bottom, top) * (i + 1)) / 128 / h.width);
        const low = Math.floor(Math.max(-t, bottom / h.width));
        const high = Math.ceil(Math.min(t, top / h.width));
        if (high - low < 4) return { low, high, divergence: Number.POSITIVE_INFINITY };
        const data = seed % 2 ? values : relu(values);
        return { low, high, divergence: tensorRt(data, h.width, low, high, 4) };
      });
      const best = tried.reduce((a, b) => (b.divergence < a.divergence ? b : a));
      const range = calibrate(h, { kind: "entropy" }, 2);
      const chosen = tried.find(
        ({ low, high }) =>
          low === Math.floor(range.min / h.width) && high === Math.ceil(range.max / h.width),
      );
      expect(chosen?.divergence).toBeCloseTo(best.divergence, 9);
      if (best.divergence < tried[127].divergence - 0.01) decided++;
    }
    expect(decided).toBeGreaterThan(20);
  });

  it("clips a lone outlier where errors are not squared", () => {
    for (const positive of [false, true]) {
      const values = normals(50_000, 6);
      values[0] = 300;
      const h = histogramOf(positive ? relu(values) : values);
      const [minmax, percentile, entropy] = calibrators.map((c) => calibrate(h, c));
      expect(minmax.max).toBe(300);
      for (const range of [percentile, entropy]) {
        expect(range.max).toBeGreaterThan(1.5);
        expect(range.max).toBeLessThan(40);
      }
    }
  });

  it("holds for any data: inside the extremes, around 0, exact 0 for one-sided data, scaling along", () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 1, maxLength: 300 }),
        fc.constantFrom(...calibrators),
        fc.constantFrom("both", "positive", "negative"),
        (list, calibrator, side) => {
          // The steps of a range below 1e-36 are subnormal in float32 and lose digits: no exact double.
          const values = Float32Array.from(list, (v) => {
            const x = Math.abs(v) < 1e-30 ? 0 : v;
            return side === "both" ? x : side === "positive" ? Math.abs(x) : -Math.abs(x);
          });
          const h = histogramOf(values);
          const { min, max } = calibrate(h, calibrator);
          expect(min).toBeLessThanOrEqual(0);
          expect(max).toBeGreaterThanOrEqual(0);
          expect(min).toBeGreaterThanOrEqual(Math.min(0, ...values));
          expect(max).toBeLessThanOrEqual(Math.max(0, ...values));
          if (side === "positive") expect(Object.is(min, 0)).toBe(true);
          if (side === "negative") expect(Object.is(max, 0)).toBe(true);
          expect(min < max).toBe(values.some((x) => x !== 0));
          const doubled = calibrate(histogramOf(values.map((x) => 2 * x)), calibrator);
          expect(doubled).toEqual({ min: 2 * min, max: 2 * max });
        },
      ),
      { numRuns: 120 },
    );
    for (const calibrator of calibrators) {
      expect(calibrate(createHistogram(), calibrator)).toEqual({ min: 0, max: 0 });
      expect(calibrate(histogramOf(new Float32Array(9)), calibrator)).toEqual({ min: 0, max: 0 });
    }
  });

  it("keeps the few nonzero values of a tensor that is almost all zero", () => {
    const values = new Float32Array(100_000);
    values[7] = 2;
    for (const calibrator of calibrators) {
      expect(calibrate(histogramOf(values), calibrator).max).toBeGreaterThan(1.9);
    }
  });
});

/** Migacz 2017, slide 38: P clipped with outliers in its ends, Q quantized and spread over P's bins. */
function tensorRt(
  values: Float32Array,
  width: number,
  low: number,
  high: number,
  levels: number,
): number {
  const n = high - low;
  const inside = new Array<number>(n).fill(0);
  let zeros = 0;
  let below = 0;
  let above = 0;
  for (const x of values) {
    const bin = Math.floor(x / width) - low;
    if (x === 0) zeros++;
    else if (bin < 0) below++;
    else if (bin >= n) above++;
    else inside[bin]++;
  }
  const p = [...inside];
  p[0] += below;
  p[n - 1] += above;
  const q = new Array<number>(n).fill(0);
  for (let level = 0; level < levels; level++) {
    const bins = q
      .map((_, i) => i)
      .filter(
        (i) => i >= Math.floor((level * n) / levels) && i < Math.floor(((level + 1) * n) / levels),
      );
    const nonzero = bins.filter((i) => p[i] > 0);
    const sum = bins.reduce((a, i) => a + inside[i], 0);
    for (const i of nonzero) q[i] = sum > 0 ? sum / nonzero.length : 1e-4;
  }
  const totalP = values.length;
  const totalQ = values.length - below - above;
  return [...p, zeros].reduce((kl, a, i) => {
    const b = i < n ? q[i] : zeros;
    return a > 0 ? kl + (a / totalP) * Math.log(a / totalP / (b / totalQ)) : kl;
  }, 0);
}
