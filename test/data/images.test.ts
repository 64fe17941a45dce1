/** @file Images in folders and zips: labels, pixels through the preprocessing, every refusal. */
import { strToU8, zipSync } from "fflate";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { subset } from "../../src/data/dataset.ts";
import { openData } from "../../src/data/open.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { folder, port, refusal } from "./folder.ts";

const nchw = ["N", 3, 4, 6];
const open = (spec: string, dims: (number | string)[] = nchw, options = {}) =>
  openData(spec, [port(dims)], options, nodePlatform);

/** A PNG of one colour. */
async function png([r, g, b]: number[], width = 6, height = 4): Promise<Uint8Array> {
  const create = { width, height, channels: 3 as const, background: { r, g, b } };
  return new Uint8Array(await sharp({ create }).png().toBuffer());
}

const red = await png([255, 0, 0]);
const blue = await png([0, 0, 51]);
const classes = { "b/1.png": red, "a/2.png": blue, "a/1.PNG": red, "a/notes.txt": strToU8("x") };

it("swaps red and blue, with means in the order of the input", async () => {
  const root = folder({ "1.png": await png([255, 102, 51]) });
  const options = { bgr: true, mean: [0.1, 0.2, 0.3] };
  const x = (await (await open(`images:${root}`, nchw, options)).read([0])).inputs.x.floats();
  expect([x[0], x[24], x[48]].map((value) => value.toFixed(6))).toEqual([
    "0.100000",
    "0.200000",
    "0.700000",
  ]);
  const last = await open(`images:${root}`, ["N", 4, 6, 3], { bgr: true, scale: 1 });
  const pixels = (await last.read([0])).inputs.x.floats();
  expect([...pixels.subarray(0, 3)]).toEqual([51, 102, 255]);
});

it("fits whole images in, and fills what is left", async () => {
  // 8 x 2 becomes 6 x 2 (1.5 rounded) in the middle of 6 x 4 pixels.
  const root = folder({ "1.png": await png([10, 20, 30], 8, 2) });
  const data = await open(`images:${root}`, nchw, { fill: 114, scale: 1 });
  const red = (await data.read([0])).inputs.x.floats().subarray(0, 24);
  const rows = [0, 1, 2, 3].map((y) => [...new Set(red.subarray(6 * y, 6 * y + 6))]);
  expect(rows).toEqual([[114], [10], [10], [114]]);
  expect(data.readWindows).toBeUndefined();
});

describe("labels", () => {
  it("are the sorted folders, in a folder and in a zip, wrapped or not, without hidden files", async () => {
    const wrapped = Object.fromEntries(
      Object.entries(classes).map(([path, bytes]) => [`set/${path}`, bytes]),
    );
    const junk = { "__MACOSX/a/1.png": strToU8("junk"), "set/.hidden.png": strToU8("junk") };
    const root = folder({
      "plain.zip": zipSync(classes),
      "wrapped.zip": zipSync({ ...wrapped, ...junk }),
      ...wrapped,
    });
    for (const path of ["set", "plain.zip", "wrapped.zip"]) {
      const data = await open(`images:${root}/${path}`);
      expect(data.classes).toEqual(["a", "b"]);
      expect([...data.labels!]).toEqual([0, 0, 1]);
      const { inputs, label } = await data.read([2, 1]);
      expect([...label!.numbers()]).toEqual([1, 0]);
      expect(inputs.x.shape).toEqual([2, 3, 4, 6]);
      const x = inputs.x.floats();
      expect([x[0], x[24], x[48]]).toEqual([1, 0, 0]);
      expect([x[72], x[96], x[120]]).toEqual([0, 0, Math.fround(0.2)]);
    }
  });

  it("come from labels.csv, in its order and plus the offset", async () => {
    const csv = 'label,name,file\n7,"big, red",r.png\r\n-2,blue,sub/b.png\n';
    const root = folder({ "labels.csv": csv, "r.png": red, "sub/b.png": blue });
    const data = await open(`images:${root}`, nchw, { labelOffset: 1 });
    expect(data.length).toBe(2);
    expect([...data.labels!]).toEqual([8, -1]);
    expect((await data.read([1])).inputs.x.floats()[48]).toBe(Math.fround(0.2));
  });

  it("are absent for a plain folder of images", async () => {
    const data = await open(`images:${folder({ "1.png": red, "2.png": blue })}`);
    expect([data.length, data.labelled, data.labels]).toEqual([2, false, null]);
  });
});

describe("pixels", () => {
  it("become (x / scale - mean) / std per channel, in either layout", async () => {
    const root = folder({ "1.png": await png([10, 20, 30]) });
    const options = { scale: 2, mean: [1, 2, 3], std: [2, 4, 8] };
    const first = await (await open(`images:${root}`, nchw, options)).read([0]);
    const last = await (await open(`images:${root}`, ["N", 4, 6, 3], options)).read([0]);
    const expected = [2, 2, 1.5];
    expect([0, 24, 48].map((i) => first.inputs.x.floats()[i])).toEqual(expected);
    expect([...last.inputs.x.floats().slice(3, 6)]).toEqual(expected);
  });

  it("stay as they are for an integer input, shifted where asked", async () => {
    const root = folder({ "1.png": await png([0, 128, 255]) });
    const bytes = await openData(`images:${root}`, [port(nchw, "x", "uint8")], {}, nodePlatform);
    const x = await firstOf(bytes);
    expect([x[0], x[24], x[48]]).toEqual([0, 128, 255]);
    const signed = await openData(
      `images:${root}`,
      [port(nchw, "x", "int8")],
      { mean: [128] },
      nodePlatform,
    );
    const y = await firstOf(signed);
    expect([y[0], y[24], y[48]]).toEqual([-128, 0, 127]);
    expect(
      await refusal(
        () => openData(`images:${root}`, [port(nchw, "x", "int8")], {}, nodePlatform),
        root,
      ),
    ).toBe(
      "bad-option: images:: pixel 128 becomes 128, which the model's int8 input cannot hold. Correct --scale, --mean and --std.",
    );
  });

  it("of grey images repeat into colour; colour becomes grey only when it is grey", async () => {
    const grey = folder({ "1.png": await png([9, 9, 9]) });
    const one = await open(`images:${grey}`, ["N", 1, 4, 6], { scale: 1 });
    expect([...new Set((await one.read([0])).inputs.x.floats())]).toEqual([9]);
    const colour = folder({ "1.png": red });
    expect(await refusal(() => open(`images:${colour}`, ["N", 1, 4, 6]), colour)).toBe(
      "wrong-channels: /1.png: has 3 channels, the model's input 1. Convert the images (which way loses what is your choice), or prepare the input as npz:.",
    );
  });

  it("are resized to the model's input, or to --size and cropped at the centre", async () => {
    // A white square of half the side: resizing keeps its share, cropping to the square is all white.
    const white = await sharp({ create: { width: 8, height: 8, channels: 3, background: "white" } })
      .png()
      .toBuffer();
    const image = await sharp({
      create: { width: 16, height: 16, channels: 3, background: "black" },
    })
      .composite([{ input: white, left: 4, top: 4 }])
      .png()
      .toBuffer();
    const root = folder({ "1.png": new Uint8Array(image) });
    const mean = async (options: object) => {
      const { inputs } = await (await open(`images:${root}`, ["N", 3, 8, 8], options)).read([0]);
      return inputs.x.floats().reduce((a, b) => a + b, 0) / inputs.x.size;
    };
    expect(await mean({})).toBeCloseTo(0.25, 1);
    expect(await mean({ size: [16] })).toBe(1);
    expect(await refusal(() => mean({ size: [7] }), root)).toBe(
      "wrong-shape: /1.png: is 7x7, the model takes x float32 [N,3,8,8]. Resize with --size 8x8.",
    );
  });

  it("decide symbolic sizes by the first image; others must agree or be resized", async () => {
    const root = folder({ "1.png": red, "2.png": await png([0, 0, 0], 5, 5) });
    const free = ["N", 3, "H", "W"];
    const data = await open(`images:${root}`, free);
    expect((await data.read([0])).inputs.x.shape).toEqual([1, 3, 4, 6]);
    expect(await refusal(() => data.read([0, 1]), root)).toBe(
      "mixed-sizes: /2.png: is 5x5 pixels, the images before it 4x6. Bring all to one size with --size HxW.",
    );
    const resized = await open(`images:${root}`, free, { size: [3] });
    expect((await resized.read([0, 1])).inputs.x.shape).toEqual([2, 3, 3, 3]);
  });

  it("of a window come from the picture's own pixels, as far as twice the input's", async () => {
    // Columns black and white by turns, each a pixel wide: grey once it is shrunk.
    const striped = async (width: number, height: number) => {
      const data = Uint8Array.from({ length: width * height }, (_, i) => ((i % width) % 2) * 255);
      const raw = { width, height, channels: 1 as const };
      return new Uint8Array(await sharp(data, { raw }).png().toBuffer());
    };
    const root = folder({ "1.png": await striped(8, 8), "2.png": await striped(16, 8) });
    const data = await open(`images:${root}`, ["N", 1, 4, 4]);
    const whole = { top: 0, left: 0, height: 1, width: 1 };
    const corner = { top: 0.5, left: 0.5, height: 0.5, width: 0.5 };
    const [seen, all] = [await data.read([0]), await data.readWindows!([0], [whole])];
    expect(all.inputs.x.floats()).toEqual(seen.inputs.x.floats());
    expect(new Set(seen.inputs.x.floats().slice(1, 3))).toEqual(new Set([Math.fround(128 / 255)]));
    // Of the 16 x 8 picture the model sees the middle 8 x 8: its lower right quarter, columns 8 to 11.
    const { inputs, size } = await data.readWindows!([0, 1], [corner, corner]);
    expect([size, inputs.x.shape]).toEqual([2, [2, 1, 4, 4]]);
    expect(inputs.x.floats()).toEqual(Float32Array.from({ length: 32 }, (_, i) => i % 2));
    const part = subset(data, [1]);
    expect((await part.readWindows!([0], [corner])).inputs.x.floats()).toEqual(
      inputs.x.floats().slice(16),
    );
    // No model of 2 x 2 is shown the stripes: the picture kept of them is 4 x 4.
    const small = await open(`images:${root}`, ["N", 1, 2, 2]);
    const tiny = await small.readWindows!([0], [{ ...corner, height: 0.25, width: 0.25 }]);
    for (const value of tiny.inputs.x.floats()) expect(Math.abs(value - 0.5)).toBeLessThan(0.05);
  });

  it("of raw formats have no windows", async () => {
    const readable = await openData("mnist:test", [port(["N", 1, 28, 28])], {}, nodePlatform);
    expect(readable.readWindows).toBeUndefined();
  });

  it("are the same from the cache as decoded", async () => {
    const data = await open(`images:${folder({ "1.png": red, "2.png": blue })}`);
    const [once, again] = [await data.read([0, 1, 0]), await data.read([0, 1, 0])];
    expect(again.inputs.x.floats()).toEqual(once.inputs.x.floats());
  });
});

it.each<[string, Record<string, Uint8Array | string>, string]>([
  [
    "no images",
    { "a.txt": "x" },
    "no-records: : holds no images. Give JPEG, PNG or WebP files, a folder a class or with a labels.csv.",
  ],
  [
    "images beside class folders",
    { "a/1.png": red, "2.png": red },
    "bad-data: /2.png: lies beside the class folders. Put every image in the folder of its class, or add a labels.csv.",
  ],
  [
    "a label that is no number",
    { "1.png": red, "labels.csv": "file,label\n1.png,cat\n" },
    'bad-label: /labels.csv:2: label "cat" is not a whole number. Number the classes from 0; regression targets go in npz: as an array of 2 or more axes.',
  ],
  [
    "no label column",
    { "1.png": red, "labels.csv": "file,class\n1.png,1\n" },
    "bad-data: /labels.csv: has the columns file, class. Begin it with the line: file,label.",
  ],
  [
    "a listed file that is missing",
    { "1.png": red, "labels.csv": "file,label\n2.png,1\n" },
    "no-such-file: /labels.csv: 2.png: does not exist. Check the path.",
  ],
  ["a damaged image", { "1.png": red.subarray(0, 40) }, "bad-image: /1.png: cannot be decoded"],
  ["an empty image", { "1.png": "" }, "bad-image: /1.png: cannot be decoded"],
])("refuses %s", async (_, files, words) => {
  const root = folder(files);
  expect(await refusal(() => open(`images:${root}`), root)).toContain(words);
});

it("refuses what is not there, and a model with several or odd inputs", async () => {
  expect(await refusal(() => open("images:/no/such"))).toBe(
    "no-such-file: /no/such: does not exist. Check the path.",
  );
  expect(await refusal(() => open("images:/no/such.zip"))).toBe(
    "no-such-file: /no/such.zip: does not exist. Check the path.",
  );
  const root = folder({ "1.png": red });
  const two = [port(nchw), port(["N", 1], "scale")];
  expect(await refusal(() => openData(`images:${root}`, two, {}, nodePlatform), root)).toBe(
    "wrong-input: images:: images fill one input, the model has 2 (the model's inputs: x float32 [N,3,4,6], scale float32 [N,1]). Name it, and say how others are fed: --input x --input scale=zeros.",
  );
  expect((await openData(`images:${root}`, two, { input: "x" }, nodePlatform)).length).toBe(1);
  expect(await refusal(() => open(`images:${root}`, ["N", "a", "b", "c"]), root)).toContain(
    "Give --layout nchw or --layout nhwc.",
  );
  expect(await refusal(() => open(`images:${root}`, ["N", 1, 2, 3, 4]), root)).toContain(
    "wrong-shape",
  );
  expect(await refusal(() => open(`images:${root}`, nchw, { mean: [1, 2] }), root)).toBe(
    "bad-option: images:: --mean has 2 values, the model's input has 3 channels. Give 1 or 3 values.",
  );
});

/** The first record's numbers. */
async function firstOf(data: Awaited<ReturnType<typeof open>>): Promise<ArrayLike<number>> {
  return (await data.read([0])).inputs.x.numbers();
}
