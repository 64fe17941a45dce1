/** @file Intervals of drops, from outputs made up so that every record's score is known. */
import { expect, test } from "vitest";
import { createRandom } from "../../src/numeric/random.ts";
import { floats, ints, judgeOf } from "../support/judge.ts";

const random = createRandom(11);

test("perplexity: near the spread of 1000 bootstrap resamples of the sequences", () => {
  // Sequences of 3 to 7 tokens; what is hard for one model is hard for the other.
  const sequences = Array.from({ length: 80 }, (_, i) => {
    const hard = 0.3 + random.float();
    return Array.from({ length: 3 + (i % 5) }, () => {
      const before = hard * (0.5 + random.float());
      return { before, after: before + 0.1 * random.normal() + 0.05 };
    });
  });
  const judge = judgeOf("perplexity", { y: floats([1, 3, 2]) }, ints([1, 3]));
  // Two classes; the label is class 0, and its negative log-likelihood is `nll`.
  const logits = (nll: number) => [-nll, Math.log(1 - Math.exp(-nll))];
  for (const tokens of sequences) {
    judge.add(
      Float64Array.from(tokens.flatMap(({ after }) => logits(after))),
      tokens.map(() => 0),
      Float64Array.from(tokens.flatMap(({ before }) => logits(before))),
    );
  }
  const { dropCi95, ci95 } = judge.finish();
  const sums = sequences.map((tokens) =>
    tokens.reduce(
      ([count, before, after], token) => [count + 1, before + token.before, after + token.after],
      [0, 0, 0],
    ),
  );
  const dropOf = (chosen: typeof sums): number => {
    const [count, before, after] = chosen.reduce(
      (total, part) => total.map((x, i) => x + part[i]),
      [0, 0, 0],
    );
    return Math.exp(after / count) - Math.exp(before / count);
  };
  const drops = Array.from({ length: 1000 }, () =>
    dropOf(sums.map(() => sums[random.int(sums.length)])),
  ).sort((a, b) => a - b);
  const drop = dropOf(sums);
  const [low, high] = dropCi95!;
  expect((low + high) / 2).toBeCloseTo(drop, 9);
  const width = drops[974] - drops[24];
  expect((high - low) / width).toBeGreaterThan(0.9);
  expect((high - low) / width).toBeLessThan(1.1);
  // The interval of the value itself is far wider: it holds how hard the sequences are.
  expect(ci95![1] - ci95![0]).toBeGreaterThan(3 * (high - low));
});

test("psnr: the mean of the records' differences with its standard error", () => {
  const judge = judgeOf("psnr", { y: floats([1, 1, 1, 2]) }, floats([1, 1, 1, 2]));
  // Errors of a constant e give a PSNR of -20 log10 e at peak 1.
  const records = [
    [0.1, 0.2],
    [0.01, 0.02],
    [0.1, 0.1],
    [0.3, 0.4],
  ];
  for (const [before, after] of records) {
    judge.add(Float64Array.of(1 + after, after), [1, 0], Float64Array.of(1 + before, before));
  }
  const drops = records.map(([before, after]) => 20 * Math.log10(after / before));
  const mean = drops.reduce((a, b) => a + b) / 4;
  const deviation = Math.sqrt(drops.reduce((sum, d) => sum + (d - mean) ** 2, 0) / 3);
  const { dropCi95 } = judge.finish();
  expect(dropCi95![0]).toBeCloseTo(mean - (1.959964 * deviation) / 2, 5);
  expect(dropCi95![1]).toBeCloseTo(mean + (1.959964 * deviation) / 2, 5);
});

test("snr: of the ratio of the two noises, near 1000 bootstrap resamples of the records", () => {
  const judge = judgeOf("snr", { y: floats([1, 1]) }, floats([1, 1]));
  // Targets of about 300, with noise of about 1 before and 1.2 after, larger in some records.
  const records = Array.from({ length: 120 }, () => {
    const size = 0.5 + random.float();
    return [size * (0.8 + 0.4 * random.float()), size * (1 + 0.4 * random.float())] as const;
  });
  for (const [before, after] of records) {
    judge.add(Float64Array.of(300 + after), [300], Float64Array.of(300 + before));
  }
  const dropOf = (chosen: typeof records): number => {
    const sum = (i: 0 | 1) => chosen.reduce((total, record) => total + record[i] ** 2, 0);
    return 10 * Math.log10(sum(1) / sum(0));
  };
  const drops = Array.from({ length: 1000 }, () =>
    dropOf(records.map(() => records[random.int(records.length)])),
  ).sort((a, b) => a - b);
  const [low, high] = judge.finish().dropCi95!;
  expect((low + high) / 2).toBeCloseTo(dropOf(records), 6);
  expect((high - low) / (drops[974] - drops[24])).toBeGreaterThan(0.9);
  expect((high - low) / (drops[974] - drops[24])).toBeLessThan(1.1);
});

test("without the original's output of every record there is no interval", () => {
  for (const [id, shape] of [
    ["accuracy", [1, 2]],
    ["perplexity", [1, 3, 2]],
  ] as const) {
    const judge = judgeOf(id, { y: floats([...shape]) }, ints(shape.slice(0, -1)));
    judge.add(Float64Array.of(1, 0), [0], Float64Array.of(1, 0));
    judge.add(Float64Array.of(1, 0), [1], null);
    expect(judge.finish().dropCi95).toBeNull();
  }
});

test("answers: outputs that are the class are compared with labels and with the original", () => {
  const judge = judgeOf("accuracy", { y: ints([1]) }, ints([1]));
  const records = [
    { answer: 3, label: 3, original: 3 },
    { answer: 1, label: 3, original: 3 },
    { answer: 2, label: 2, original: 0 },
    { answer: 7, label: 5, original: 7 },
  ];
  for (const { answer, label, original } of records) {
    judge.add(Float64Array.of(answer), [label], Float64Array.of(original));
  }
  expect(judge.finish()).toMatchObject({ value: 50, flips: 50, kl: null });
  const blind = judgeOf("fidelity", { y: ints([1]) });
  blind.add(Float64Array.of(1), null, null);
  expect(blind.finish()).toMatchObject({ value: null, flips: null, predictions: 1 });
});
