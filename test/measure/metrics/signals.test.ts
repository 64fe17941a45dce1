/** @file SSIM, SI-SDR, correlation and top-k: closed forms, and windows summed up one by one. */
import { describe, expect, test } from "vitest";
import { pearson, ranks } from "../../../src/measure/metrics/correlation.ts";
import { distortionRatio } from "../../../src/measure/metrics/si-sdr.ts";
import { createRandom } from "../../../src/numeric/random.ts";
import { fitOf, floats, ints, judgeOf } from "../../support/judge.ts";

describe("ssim", () => {
  const judged = (x: number[], y: number[], shape: number[]) => {
    const judge = judgeOf("ssim", { y: floats([1, ...shape]) }, floats([1, ...shape]));
    judge.add([x, shape] as never, [y, shape] as never, null);
    return judge.finish().value!;
  };

  test("flat pictures: only the means count", () => {
    const flat = (value: number) => new Array(121).fill(value);
    const c1 = 0.01 ** 2;
    expect(judged(flat(0.5), flat(0.25), [1, 11, 11])).toBeCloseTo(
      (2 * 0.5 * 0.25 + c1) / (0.5 ** 2 + 0.25 ** 2 + c1),
      9,
    );
    const large = (0.01 * 255) ** 2;
    expect(judged(flat(100), flat(200), [1, 11, 11])).toBeCloseTo(
      (2 * 100 * 200 + large) / (100 ** 2 + 200 ** 2 + large),
      9,
    );
  });

  test("equal pictures have 1, a negative of a centred pattern less than 0", () => {
    const stripes = Array.from({ length: 144 }, (_, i) => (i % 2 ? 0.9 : 0.1));
    expect(judged(stripes, stripes, [1, 12, 12])).toBeCloseTo(1, 9);
    expect(
      judged(
        stripes.map((x) => 1 - x),
        stripes,
        [1, 12, 12],
      ),
    ).toBeLessThan(-0.9);
  });

  test("of channels the mean over windows, each summed up pixel by pixel", () => {
    const random = createRandom(8);
    const [channels, height, width] = [3, 12, 14];
    const x = Array.from({ length: channels * height * width }, () => random.float());
    const y = x.map((v) => Math.min(1, Math.max(0, v + 0.2 * random.normal())));
    const weight = (i: number, j: number) => Math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5);
    let norm = 0;
    for (let i = 0; i < 11; i++) for (let j = 0; j < 11; j++) norm += weight(i, j);
    const [c1, c2] = [1e-4, 9e-4];
    let [sum, count] = [0, 0];
    for (let c = 0; c < channels; c++) {
      for (let top = 0; top + 11 <= height; top++) {
        for (let left = 0; left + 11 <= width; left++) {
          const mean = (of: (at: number) => number) => {
            let total = 0;
            for (let i = 0; i < 11; i++) {
              for (let j = 0; j < 11; j++) {
                total += weight(i, j) * of((c * height + top + i) * width + left + j);
              }
            }
            return total / norm;
          };
          const [mx, my] = [mean((at) => x[at]), mean((at) => y[at])];
          const vx = mean((at) => (x[at] - mx) ** 2);
          const vy = mean((at) => (y[at] - my) ** 2);
          const cov = mean((at) => (x[at] - mx) * (y[at] - my));
          sum +=
            ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2));
          count++;
        }
      }
    }
    expect(judged(x, y, [channels, height, width])).toBeCloseTo(sum / count, 9);
    const size = height * width;
    const packed = (v: number[]) =>
      Array.from(
        { length: v.length },
        (_, k) => v[(k % channels) * size + Math.floor(k / channels)],
      );
    expect(judged(packed(x), packed(y), [height, width, channels])).toBeCloseTo(sum / count, 9);
  });

  test("pictures smaller than a window are refused", () => {
    expect(fitOf("ssim", { y: floats([1, 1, 8, 20]) })).toBe(
      "pictures of 20 x 8 pixels are smaller than a window of 11",
    );
  });
});

describe("si-sdr", () => {
  test("y = 2 t + e with e at right angles to t: 10 log10(4 |t|^2 / |e|^2)", () => {
    const [t, e] = [
      [1, 2, 2],
      [2, -1, 0],
    ];
    const y = t.map((v, i) => 2 * v + e[i]);
    expect(distortionRatio(y, t)).toBeCloseTo(10 * Math.log10(36 / 5), 9);
    expect(
      distortionRatio(
        y.map((v) => -7 * v),
        t,
      ),
    ).toBeCloseTo(10 * Math.log10(36 / 5), 9);
    expect(distortionRatio([3, 6, 6], t)).toBe(Infinity);
  });

  test("is the mean over channels and records, with the interval of the drop", () => {
    const judge = judgeOf("si-sdr", { y: floats([1, 2, 2]) }, floats([1, 2, 2]));
    // t = (1, 0): y = (1, n) has 10 log10(1 / n^2).
    const pair = (a: number, b: number) =>
      [
        [1, a, 1, b],
        [2, 2],
      ] as never;
    const target = [
      [1, 0, 1, 0],
      [2, 2],
    ] as never;
    judge.add(pair(0.1, 1), target, pair(0.1, 0.1));
    judge.add(pair(0.1, 0.1), target, pair(0.1, 0.1));
    const { value, dropCi95 } = judge.finish();
    expect(value).toBeCloseTo((10 + 20) / 2, 9);
    // Drops of 10 and 0: mean 5, standard error 5.
    expect(dropCi95![0]).toBeCloseTo(5 - 1.959964 * 5, 4);
  });
});

describe("correlation", () => {
  test("by hand; equal values share a rank", () => {
    expect(pearson([1, 2, 3, 4], [1, 3, 2, 4])).toBeCloseTo(0.8, 12);
    expect(ranks([10, 20, 20, 5])).toEqual([2, 3.5, 3.5, 1]);
    const judge = judgeOf("correlation", { y: floats([1, 1]) }, floats([1, 1]));
    for (const [y, t] of [
      [1, 1],
      [2, 8],
      [3, 27],
      [4, 64],
    ]) {
      judge.add([y], [t], null);
    }
    // Deviations -1.5 -.5 .5 1.5 and -24 -17 2 39: 104 / sqrt(5 * 2390).
    const { value, words, ci95 } = judge.finish();
    expect(value).toBeCloseTo(104 / Math.sqrt(5 * 2390), 9);
    expect(words).toBe("Spearman 1.0000");
    expect(ci95![1]).toBeLessThanOrEqual(1);
  });
});

test("top-k: the label among the k largest, of equal scores the first", () => {
  const judge = judgeOf("top-5:k=2", { y: floats([1, 4]) }, ints([1]));
  judge.add([4, 3, 2, 1], [1], [4, 3, 2, 1]); // second
  judge.add([4, 3, 2, 1], [2], [1, 1, 2, 1]); // third; the original had it first
  judge.add([1, 1, 1, 0], [1], [1, 1, 1, 0]); // of equal ones the second
  judge.add([1, 1, 1, 0], [2], [1, 1, 1, 0]); // and the third
  const { value, flips, dropCi95 } = judge.finish();
  expect(value).toBe(50);
  expect(flips).toBe(25);
  expect((dropCi95![0] + dropCi95![1]) / 2).toBeGreaterThan(0);
  expect(fitOf("top-5", { y: floats([1, 4]) }, ints([1]))).toBe(
    "with 4 classes, the label is always among the first 5",
  );
});
