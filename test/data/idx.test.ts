/** @file idx files: the real MNIST by its published facts, and small files for every refusal. */
import { gzipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { batches } from "../../src/data/dataset.ts";
import { openData } from "../../src/data/open.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { folder, port, refusal } from "./folder.ts";

const open = (spec: string, dims: (number | string)[], options = {}) =>
  openData(spec, [port(dims)], options, nodePlatform);

/** An idx file of unsigned bytes. */
function idx(shape: number[], values: number[]): Uint8Array {
  const sizes = shape.flatMap((dim) => [
    dim >>> 24,
    (dim >>> 16) & 255,
    (dim >>> 8) & 255,
    dim & 255,
  ]);
  return Uint8Array.from([0, 0, 8, shape.length, ...sizes, ...values]);
}

const pixels = [0, 51, 102, 153, 204, 255, 128, 64, 1, 2, 3, 4, 5, 6, 7, 8];
const pair = {
  "t10k-images-idx3-ubyte": idx([2, 2, 4], pixels),
  "t10k-labels-idx1-ubyte": idx([2], [7, 3]),
};

describe("mnist", () => {
  it("reads the test set: 10,000 images with the published class counts", async () => {
    const data = await open("mnist:test", ["N", 1, 28, 28]);
    expect(data.length).toBe(10_000);
    const counts = new Array(10).fill(0);
    for (const label of data.labels!) counts[label]++;
    expect(counts).toEqual([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    expect([...data.labels!.slice(0, 5)]).toEqual([7, 2, 1, 0, 4]);
  });

  it("reads the whole training set, whose mean and deviation are .1307 and .3081", async () => {
    const data = await open("mnist:train", ["N", 1, 28, 28]);
    let [n, sum, squares] = [0, 0, 0];
    for await (const { inputs } of batches(data, 1000)) {
      for (const x of inputs.x.floats()) {
        sum += x;
        squares += x * x;
        n++;
      }
    }
    expect(n).toBe(60_000 * 784);
    expect(sum / n).toBeCloseTo(0.1307, 4);
    expect(Math.sqrt(squares / n - (sum / n) ** 2)).toBeCloseTo(0.3081, 4);
  });

  it("refuses other parts", async () => {
    expect(await refusal(() => open("mnist:validation", ["N", 1, 28, 28]))).toBe(
      'unknown-data: mnist:validation: there is no part "validation". Write mnist:train or mnist:test.',
    );
  });
});

describe("idx", () => {
  it("reads a folder, gzipped or not, pixels divided by 255", async () => {
    const zipped = { "t10k-images-idx3-ubyte.gz": gzipSync(pair["t10k-images-idx3-ubyte"]) };
    for (const files of [
      pair,
      { ...zipped, "t10k-labels-idx1-ubyte": pair["t10k-labels-idx1-ubyte"] },
    ]) {
      const data = await open(`idx:${folder(files)}`, ["N", 1, 2, 4]);
      const { inputs, label } = await data.read([1, 0]);
      expect(inputs.x.shape).toEqual([2, 1, 2, 4]);
      expect([...inputs.x.floats()].map((x) => Math.round(x * 255))).toEqual([
        ...pixels.slice(8),
        ...pixels.slice(0, 8),
      ]);
      expect(label!.dtype).toBe("int64");
      expect([...label!.numbers()]).toEqual([3, 7]);
    }
  });

  it("takes the test half unless told, and :train on demand", async () => {
    const files = {
      ...pair,
      "train-images-idx3-ubyte": idx([1, 2, 4], new Array(8).fill(9)),
      "train-labels-idx1-ubyte": idx([1], [5]),
    };
    const root = folder(files);
    expect((await open(`idx:${root}`, ["N", 1, 2, 4])).length).toBe(2);
    expect((await open(`idx:${root}:train`, ["N", 1, 2, 4])).length).toBe(1);
    expect(await refusal(() => open(`idx:${folder({ "a.txt": "" })}`, ["N", 1, 2, 4]))).toContain(
      "has no t10k-images-idx3-ubyte. Give the folder of the four MNIST files, or one images file.",
    );
  });

  it("gives unlabelled records when there is no label file", async () => {
    const root = folder({ "t10k-images-idx3-ubyte": pair["t10k-images-idx3-ubyte"] });
    const data = await open(`idx:${root}/t10k-images-idx3-ubyte`, ["N", 1, 2, 4]);
    expect(data.labelled).toBe(false);
    expect((await data.read([0])).label).toBeNull();
  });

  it("lays flat, grey without a channel axis, and NHWC inputs out", async () => {
    const spec = `idx:${folder(pair)}`;
    for (const dims of [
      ["N", 8],
      ["N", 2, 4],
      ["N", 2, 4, 1],
    ]) {
      const { inputs } = await (await open(spec, dims, { scale: 1 })).read([0]);
      expect(inputs.x.shape).toEqual([1, ...dims.slice(1)]);
      expect([...inputs.x.floats()]).toEqual(pixels.slice(0, 8));
    }
  });

  it("refuses another size unless --size asks for it", async () => {
    const root = folder(pair);
    expect(await refusal(() => open(`idx:${root}`, [1, 1, 4, 8]), root)).toBe(
      "wrong-shape: /t10k-images-idx3-ubyte[0]: is 2x4, the model takes x float32 [1,1,4,8]. Resize with --size 4x8.",
    );
    const data = await open(`idx:${root}`, [1, 1, 4, 8], { size: [4, 8] });
    expect((await data.read([0])).inputs.x.shape).toEqual([1, 1, 4, 8]);
  });

  it.each([
    ["cut short", pair["t10k-images-idx3-ubyte"].subarray(0, 20), "says 2x2x4 bytes and has 4"],
    ["cut in its sizes", pair["t10k-images-idx3-ubyte"].subarray(0, 9), "is cut short"],
    ["another format", new TextEncoder().encode("hello"), "is not an idx file"],
    ["empty", new Uint8Array(0), "is not an idx file"],
    ["damaged gzip", Uint8Array.from([0x1f, 0x8b, 8, 0, 1, 2, 4]), "does not unzip"],
  ])("refuses a file that is %s", async (_, bytes, words) => {
    const root = folder({ "t10k-images-idx3-ubyte": bytes });
    expect(await refusal(() => open(`idx:${root}`, ["N", 1, 2, 4]), root)).toBe(
      `bad-data: /t10k-images-idx3-ubyte: ${words}. The file is damaged: fetch or write it again.`,
    );
  });

  it("refuses a label count that differs", async () => {
    const root = folder({ ...pair, "t10k-labels-idx1-ubyte": idx([3], [1, 2, 3]) });
    expect(await refusal(() => open(`idx:${root}`, ["N", 1, 2, 4]), root)).toBe(
      "label-count: /t10k-labels-idx1-ubyte: has 3 labels for 2 records. Give one label per record.",
    );
  });
});
