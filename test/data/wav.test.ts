/** @file Sound: samples of each format by hand, windows, folders, rates. */
import { describe, expect, test } from "vitest";
import { openData } from "../../src/data/open.ts";
import type { DataOptions } from "../../src/data/options.ts";
import { parseWav, resampled } from "../../src/data/wav.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { folder, port, refusal } from "./folder.ts";

const ascii = (text: string) => [...new TextEncoder().encode(text)];
const little = (value: number, bytes: number) =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);

/** A file with these bytes of samples, after a chunk of odd length that readers must skip. */
function wav(data: number[], { kind = 1, bits = 16, channels = 1, rate = 8000 } = {}): Uint8Array {
  const each = (bits / 8) * channels;
  const format = [
    ...[...little(kind, 2), ...little(channels, 2), ...little(rate, 4)],
    ...[...little(rate * each, 4), ...little(each, 2), ...little(bits, 2)],
  ];
  const chunks = [
    ...[...ascii("LIST"), ...little(3, 4), 1, 2, 3, 0],
    ...[...ascii("fmt "), ...little(16, 4), ...format],
    ...[...ascii("data"), ...little(data.length, 4), ...data],
  ];
  return Uint8Array.from([
    ...ascii("RIFF"),
    ...little(4 + chunks.length, 4),
    ...ascii("WAVE"),
    ...chunks,
  ]);
}
/** 16-bit samples. */
const samples = (...values: number[]) => values.flatMap((value) => little(value + 65536, 2));
const float = (...values: number[]) => [...new Uint8Array(Float32Array.from(values).buffer)];

test.each<[string, Uint8Array, number[]]>([
  ["8 bits, unsigned", wav([0, 128, 192], { bits: 8 }), [-1, 0, 0.5]],
  ["16 bits", wav(samples(-32768, 1, 16384)), [-1, 2 ** -15, 0.5]],
  ["24 bits", wav([0, 0, 0x80, 1, 0, 0, 0, 0, 0x40], { bits: 24 }), [-1, 2 ** -23, 0.5]],
  ["32 bits", wav([0, 0, 0, 0x80, 0, 0, 0, 0x20], { bits: 32 }), [-1, 0.25]],
  ["floats", wav(float(0.25, -2), { kind: 3, bits: 32 }), [0.25, -2]],
  [
    "two channels, averaged",
    wav(samples(100, 300, -200, 0), { channels: 2 }),
    [200 / 32768, -100 / 32768],
  ],
])("%s", (_, file, expected) => {
  expect([...parseWav(file, "x").samples]).toEqual(expected);
});

test("resampling draws straight lines", () => {
  const ramp = Float32Array.of(0, 3, 6, 9);
  expect([...resampled({ samples: ramp, rate: 2 }, 3)]).toEqual([0, 2, 4, 6, 8, 9]);
  expect([...resampled({ samples: ramp, rate: 4 }, 2)]).toEqual([0, 6]);
});

const open = (root: string, name: string, options: DataOptions, dims: (number | string)[]) =>
  openData(`wav:${root}/${name}`, [port(dims), port([], "sr", "int64")], options, nodePlatform);
const values = async (data: Awaited<ReturnType<typeof open>>, indices: number[]) =>
  Array.from((await data.read(indices)).inputs.x.numbers(), (x) => x * 32768);

describe("records", () => {
  const root = () =>
    folder({
      "long.wav": wav(samples(1, 2, 3, 4, 5, 6, 7)),
      "d/no/a.wav": wav(samples(1, 2)),
      "d/yes/b.wav": wav(samples(3, 4, 5)),
      "d/yes/c.wav": wav(samples(6)),
    });

  test("a file is cut into windows, which may overlap", async () => {
    const at = root();
    const data = await open(at, "long.wav", { input: "sr=8000", hop: 2 }, ["N", 3]);
    expect(data.length).toBe(3);
    expect(await values(data, [2, 0])).toEqual([5, 6, 7, 1, 2, 3]);
    const { sr } = (await data.read([0])).inputs;
    expect([sr.shape, [...sr.numbers()]]).toEqual([[], [8000]]);
    const plain = await open(at, "long.wav", { input: "sr=8000", size: [2] }, ["N", 1, "T"]);
    expect(plain.length).toBe(3);
    expect((await plain.read([1])).inputs.x.shape).toEqual([1, 1, 2]);
  });

  test("a folder has a record for each file and a class for each folder", async () => {
    const data = await open(root(), "d", { input: "sr=8000" }, ["N", "T"]);
    expect([data.length, data.classes, [...(data.labels ?? [])]]).toEqual([
      3,
      ["no", "yes"],
      [0, 1, 1],
    ]);
    expect(await values(data, [0, 1])).toEqual([1, 2, 0, 3, 4, 5]);
    const fixed = await open(root(), "d", { input: "sr=8000" }, ["N", 2]);
    expect(await values(fixed, [1, 2])).toEqual([3, 4, 6, 0]);
  });

  test("another rate is refused, and resampled where it is asked for", async () => {
    const at = root();
    const read = () => open(at, "long.wav", { input: "sr=16000" }, ["N", 3]);
    expect(await refusal(read, at)).toBe(
      "bad-data: /long.wav: has 8000 samples a second, not 16000. Resample to what the model takes: --sample-rate 16000.",
    );
    const options = { input: "sr=16000", sampleRate: 16000 };
    expect(await values(await open(at, "long.wav", options, ["N", 3]), [0])).toEqual([1, 1.5, 2]);
  });

  test.each([
    ["no sound file", "d.wav", "RIFX", "is no RIFF/WAVE file"],
    [
      "another format",
      "d.wav",
      wav([0, 0], { kind: 6, bits: 8 }),
      "has samples of format 6 with 8 bits",
    ],
  ])("refuses %s", async (_, name, content, why) => {
    const at = folder({ [name]: content });
    expect(await refusal(() => open(at, name, { input: "sr=0" }, ["N", 3]), at)).toContain(why);
  });
});
