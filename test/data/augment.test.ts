/** @file Augmentation against hand-worked images, and its statistics. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createAugment, createReader, parseAugment } from "../../src/data/augment.ts";
import {
  type Batch,
  type Dataset,
  type ImageLayout,
  subset,
  type Window,
} from "../../src/data/dataset.ts";
import { openData } from "../../src/data/open.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import { port } from "./folder.ts";

/** A generator that draws what is given, to work cases by hand. */
function drawing(...draws: readonly number[]): Random {
  const left = [...draws];
  const random = createRandom(0);
  const next = (): number => left.shift() as number;
  return { ...random, int: next, float: next };
}

function batchOf(values: readonly number[], shape: readonly number[]): Batch {
  const label = tensor("int64", [shape[0]], new Array<number>(shape[0]).fill(3));
  return { inputs: { image: tensor("float32", shape, values) }, label, size: shape[0] };
}

const layout: ImageLayout = {
  input: "image",
  channels: 1,
  height: 3,
  width: 3,
  layout: "nchw",
  black: [-1],
};

/** What becomes of one image of 3 x 3, 1 to 9, under these draws. */
function changed(text: string, draws: readonly number[], images: ImageLayout = layout): number[] {
  const one = Array.from({ length: 9 * images.channels }, (_, i) => i + 1);
  const { channels, height, width } = images;
  const dims = images.layout === "nchw" ? [channels, height, width] : [height, width, channels];
  const augment = createAugment(parseAugment(text), { name: "test", images });
  const { inputs } = augment(batchOf(one, [1, ...dims]), drawing(...draws));
  return Array.from(inputs.image.floats());
}

describe("by hand", () => {
  test("shift: draws 0 to 2k mean -k to k, down first; black comes in", () => {
    // biome-ignore format: an image
    expect(changed("shift=1", [2, 1])).toEqual([
      -1, -1, -1,
      1, 2, 3,
      4, 5, 6,
    ]);
    // biome-ignore format: an image
    expect(changed("shift=2", [1, 4])).toEqual([
      -1, -1, 4,
      -1, -1, 7,
      -1, -1, -1,
    ]);
    expect(changed("crop=2", [1, 4])).toEqual(changed("shift=2", [1, 4]));
  });

  test("shift: the edge's pixels, or the mirrored image, come in", () => {
    // biome-ignore format: an image
    expect(changed("shift=2,fill=edge", [2, 4])).toEqual([
      1, 1, 1,
      4, 4, 4,
      7, 7, 7,
    ]);
    // biome-ignore format: an image
    expect(changed("shift=2,fill=reflect", [4, 1])).toEqual([
      8, 9, 8,
      5, 6, 5,
      2, 3, 2,
    ]);
  });

  test("flip: half of the draws", () => {
    const whole = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    expect(changed("flip", [0, 0, 0])).toEqual(whole);
    expect(changed("flip", [1, 0, 0])).toEqual([3, 2, 1, 6, 5, 4, 9, 8, 7]);
  });

  test("cutout: a square around the drawn pixel, cut off at the border", () => {
    expect(changed("cutout=2", [1, 1])).toEqual([-1, -1, 3, -1, -1, 6, 7, 8, 9]);
    expect(changed("cutout=3", [0, 2])).toEqual([1, -1, -1, 4, -1, -1, 7, 8, 9]);
  });

  test("channels move together, each with its own black, in either layout", () => {
    const two = { ...layout, channels: 2, black: [-1, -2] };
    const moved = [-1, -1, -1, 1, 2, 3, 4, 5, 6, -2, -2, -2, 10, 11, 12, 13, 14, 15];
    expect(changed("shift=1", [2, 1], two)).toEqual(moved);
    // Channels last: pixel p holds 2p + 1 and 2p + 2.
    const last = changed("shift=1", [2, 1], { ...two, layout: "nhwc" });
    expect(last.slice(0, 6)).toEqual([-1, -2, -1, -2, -1, -2]);
    expect(last.slice(6)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    const flipped = changed("flip", [1, 0, 0], { ...two, layout: "nhwc" });
    expect(flipped.slice(0, 6)).toEqual([5, 6, 3, 4, 1, 2]);
  });

  test("zoom: a window of a quarter of the area, in the middle, at a corner, and wide", () => {
    // Draws: area, narrowness, wide or high, down, right. The image is 1 + x + 3 y.
    const at = (rows: readonly number[], columns: readonly number[]) =>
      rows.flatMap((y) => columns.map((x) => 1 + x + 3 * y));
    const near = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 5));
    const middle = [0.5, 1, 1.5];
    expect(changed("zoom=0.75", [0, 1, 0, 0.5, 0.5])).toEqual(near(at(middle, middle)));
    expect(changed("zoom=0.75", [0, 1, 0, 0, 1])).toEqual(
      near(at([0, 0.25, 0.75], [1.25, 1.75, 2])),
    );
    const [wide, low] = [0.5 / Math.sqrt(0.75), 0.5 * Math.sqrt(0.75)];
    expect(changed("zoom=0.75", [0, 0, 1, 0.5, 0.5])).toEqual(
      near(at([1 - low, 1, 1 + low], [1 - wide, 1, 1 + wide])),
    );
  });

  test("zoom of pictures that have windows asks for those", async () => {
    const asked: (readonly Window[])[] = [];
    const [whole, part] = [batchOf([1, 2], [1, 1, 1, 2]), batchOf([3, 4], [1, 1, 1, 2])];
    const plain = { name: "test", length: 1, classes: null, labelled: false };
    const data: Dataset = { ...plain, read: async () => whole };
    const sharp: Dataset = {
      ...data,
      readWindows: async (_, windows) => {
        asked.push(windows);
        return part;
      },
    };
    const options = parseAugment("zoom=0.75");
    expect(await createReader(options, sharp)([0], drawing(0, 1, 0, 0, 1))).toBe(part);
    expect(asked).toEqual([[{ top: 0, left: 0.5, height: 0.5, width: 0.5 }]]);
    const { inputs } = await createReader(options, data)([0], drawing(0, 1, 0, 0.5, 0.5));
    expect([...inputs.image.floats()]).toEqual([1.25, 1.75]);
    expect(await createReader(parseAugment(""), sharp)([0], drawing())).toBe(whole);
  });

  test("light: contrast about the mean, brightness by a share of the range", () => {
    expect(changed("light=0.5", [0.5, 1])).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(changed("light=0.5", [1, 0.5])).toEqual([-1, 0.5, 2, 3.5, 5, 6.5, 8, 9.5, 11]);
  });

  test("mixup: up to half of another image", () => {
    const augment = createAugment(parseAugment("mixup"), { name: "test" });
    const batch = batchOf([0, 1, 4, 8], [2, 1, 1, 2]);
    // Draws: how far away the other is, and a share for each.
    const { inputs, label } = augment(batch, drawing(0, 0.5, 1));
    expect([...inputs.image.floats()]).toEqual([1, 2.75, 2, 4.5]);
    expect(label).toBe(batch.label);
    expect([...augment(batchOf([5, 6], [1, 1, 1, 2]), drawing(0.5)).inputs.image.floats()]).toEqual(
      [5, 6],
    );
  });

  test("affine: no turn leaves the image; a zoom by 0.9 takes pixels from nearer the centre", () => {
    const half = 0.5; // draws 0.5: nothing
    const whole = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    expect(changed("affine=10", [half, half, half])).toEqual(whole);
    // Sources at 1 +- 0.9: the corner is 5 - 0.9 * 1 - 0.9 * 3.
    const zoomed = changed("affine=10", [half, 0, half]);
    const expected = whole.map((_, i) => 5 + 0.9 * ((i % 3) - 1) + 2.7 * (Math.floor(i / 3) - 1));
    for (const [i, x] of zoomed.entries()) expect(x).toBeCloseTo(expected[i], 5);
  });

  test("affine: a turn takes each pixel from where trigonometry says", () => {
    const side = 21;
    const images = { ...layout, height: side, width: side };
    const ramp = Array.from({ length: side * side }, (_, i) => i % side);
    const augment = createAugment(parseAugment("affine=30"), { name: "test", images });
    // The whole strength clockwise or anticlockwise, no zoom, no shear.
    const turned = augment(batchOf(ramp, [1, 1, side, side]), drawing(1, 0.5, 0.5));
    const values = turned.inputs.image.floats();
    const angle = Math.PI / 6;
    for (let y = 7; y < 14; y++) {
      for (let x = 7; x < 14; x++) {
        const from = 10 + Math.cos(angle) * (x - 10) - Math.sin(angle) * (y - 10);
        expect(values[y * side + x]).toBeCloseTo(from, 1);
      }
    }
  });
});

describe("records made of images", () => {
  const open = (dims: (number | string)[], options = {}) =>
    openData("mnist:test", [port(dims)], { limit: 4, ...options }, nodePlatform);

  test("what comes in is the black pixel as it was normalized", async () => {
    const data = subset(await open(["N", 1, 28, 28], { mean: [0.1307], std: [0.3081] }), [2, 0]);
    const augment = createAugment(parseAugment("shift=1"), data);
    const batch = await data.read([0, 1]);
    // Down by one, as drawn: the top row is new.
    const { inputs } = augment(batch, drawing(2, 1, 2, 1));
    const values = inputs.x.floats();
    const black = Math.fround(-0.1307 / 0.3081);
    for (const n of [0, 784]) expect([...values.slice(n, n + 28)]).toEqual(Array(28).fill(black));
    expect(values.slice(28, 784)).toEqual(batch.inputs.x.floats().slice(0, 756));
  });

  test("a flat input holds images, too", async () => {
    const [flat, image] = [await open(["N", 784]), await open(["N", 1, 28, 28])];
    const [x, y] = await Promise.all(
      [flat, image].map(async (data) => {
        const augment = createAugment(parseAugment("shift=2,affine=10,cutout=5"), data);
        return augment(await data.read([1, 3]), createRandom(1)).inputs.x;
      }),
    );
    expect(x.shape).toEqual([2, 784]);
    expect(x.bytes()).toEqual(y.bytes());
  });
});

/** Random images on random options. */
const cases = fc.record({
  seed: fc.nat(),
  text: fc.constantFrom(
    "flip,crop=4,cutout=8",
    "shift=2+affine=10",
    "affine=20,fill=reflect",
    "shift=9,fill=edge",
    "cutout=3",
    "zoom=0.5,flip",
    "mixup+shift=2",
  ),
  shape: fc.tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 9 }),
  ),
});

function randomBatch(seed: number, shape: readonly number[]): Batch {
  const random = createRandom(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return batchOf(
    Array.from({ length: size }, () => random.float()),
    shape,
  );
}

describe("properties", () => {
  test("the same stream gives the same bytes; labels and the given batch stay", () => {
    fc.assert(
      fc.property(cases, ({ seed, text, shape }) => {
        const batch = randomBatch(seed, shape);
        const before = Array.from(batch.inputs.image.floats());
        const augment = createAugment(parseAugment(text), { name: "test" });
        const run = () => augment(batch, createRandom(seed).fork("3/14")).inputs.image;
        const [first, again] = [run(), run()];
        expect(first.shape).toEqual(shape);
        expect(again.bytes()).toEqual(first.bytes());
        expect(Array.from(batch.inputs.image.floats())).toEqual(before);
        expect(augment(batch, createRandom(seed)).label).toBe(batch.label);
      }),
    );
  });

  test("nothing new is made up: black and the image's own values bound what comes out", () => {
    fc.assert(
      fc.property(cases, ({ seed, text, shape }) => {
        const augment = createAugment(parseAugment(text), { name: "test" });
        const { inputs } = augment(randomBatch(seed, shape), createRandom(seed));
        for (const x of inputs.image.floats()) expect(x >= 0 && x <= 1).toBe(true);
      }),
    );
  });

  test("zero strength is the very same batch", () => {
    const batch = randomBatch(1, [2, 3, 4, 4]);
    for (const text of [
      "",
      "shift=0,crop=0,flip=false,affine=0,cutout=0,zoom=0,light=0,mixup=false",
      "fill=edge",
    ]) {
      const augment = createAugment(parseAugment(text), { name: "test" });
      expect(augment(batch, createRandom(1))).toBe(batch);
    }
  });
});

describe("statistics", () => {
  const count = 4000;
  /** One bright pixel in the middle of 9 x 9; where is it afterwards, in each of many images? */
  const bright = (text: string) => {
    const one = Array.from({ length: 81 }, (_, i) => (i === 40 ? 1 : 0));
    const batch = batchOf(Array.from({ length: count }, () => one).flat(), [count, 1, 9, 9]);
    const augment = createAugment(parseAugment(text), { name: "test" });
    const values = augment(batch, createRandom(7)).inputs.image.floats();
    return Array.from({ length: count }, (_, n) =>
      values.subarray(81 * n, 81 * (n + 1)).indexOf(1),
    );
  };

  test("all 25 shifts by up to 2 are equally likely", () => {
    const found = new Map<number, number>();
    for (const at of bright("shift=2")) found.set(at, (found.get(at) ?? 0) + 1);
    expect(found.size).toBe(25);
    // chi-squared of 24 degrees of freedom is below 51 in 999 of 1000.
    const expected = count / 25;
    const chi = [...found.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    expect(chi).toBeLessThan(51);
  });

  test("half of the images are mirrored", () => {
    const one = Array.from({ length: 2 * count }, (_, i) => i % 2);
    const augment = createAugment(parseAugment("flip"), { name: "test" });
    const batch = batchOf(one, [count, 1, 1, 2]);
    const values = augment(batch, createRandom(7)).inputs.image.floats();
    const mirrored = values.filter((x, i) => i % 2 === 0 && x === 1).length;
    expect(Math.abs(mirrored - count / 2)).toBeLessThan(3.3 * Math.sqrt(count / 4));
  });
});

describe("options", () => {
  test("text, with commas or pluses, and values", () => {
    const options = {
      shift: 0,
      crop: 4,
      flip: true,
      affine: 0,
      zoom: 0,
      light: 0,
      mixup: false,
      cutout: 8,
      fill: "reflect",
    };
    expect(parseAugment("flip,crop=4,cutout=8,fill=reflect")).toEqual(options);
    expect(parseAugment(" flip + crop = 4 + cutout=8+fill=reflect ")).toEqual(options);
    expect(parseAugment({ flip: true, crop: 4, cutout: 8, fill: "reflect" })).toEqual(options);
  });

  test.each([
    ["flop", 'unknown-option: --augment: there is no option "flop". Did you mean "flip"?'],
    ["flip,crop=x", 'bad-option: --augment: crop="x" is refused (expected number). Give a number'],
    ["crop", 'bad-option: --augment: crop="" is refused (expected number). Give a number from 0.'],
    ["shift=-1", 'bad-option: --augment: shift="-1" is refused (expected number to be >=0).'],
    ["fill=mirror", "Give one of: zero, edge, reflect."],
    ["crop=2,crop=4", "bad-option: --augment: crop is given twice. Give it once."],
  ])("%s is refused", (text, message) => {
    expect(() => parseAugment(text, "--augment")).toThrow(message);
  });

  test("a batch without float images is refused", () => {
    const augment = createAugment(parseAugment("flip"), { name: "csv:x" });
    const inputs = { x: tensor("float32", [1, 4], [1, 2, 3, 4]) };
    expect(() => augment({ inputs, label: null, size: 1 }, createRandom(1))).toThrow(
      "bad-option: csv:x: x float32 [1,4] holds no float images, which is all that can be augmented. Leave augment out.",
    );
  });
});
