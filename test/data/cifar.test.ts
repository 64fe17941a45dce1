/** @file CIFAR binaries: planes become the model's layout, the fine label counts, damage is refused. */
import { expect, it } from "vitest";
import { openData } from "../../src/data/open.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { folder, port, refusal } from "./folder.ts";

const area = 32 * 32;
/** A record whose planes hold the values red, green, blue. */
const record = (marks: number[], [r, g, b]: number[]) =>
  Uint8Array.from([
    ...marks,
    ...Array.from({ length: 3 * area }, (_, i) => [r, g, b][Math.floor(i / area)]),
  ]);

const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const open = (spec: string, dims = ["N", 3, 32, 32] as (number | string)[], options = {}) =>
  openData(spec, [port(dims)], options, nodePlatform);

it("reads CIFAR-10 batches in order, with class names", async () => {
  const root = folder({
    "data_batch_1.bin": record([4], [1, 2, 3]),
    "data_batch_2.bin": join(record([0], [4, 5, 6]), record([9], [7, 8, 9])),
    "test_batch.bin": record([2], [10, 20, 30]),
    "batches.meta.txt": "airplane\nautomobile\nbird\n\n",
  });
  const test = await open(`cifar:${root}`);
  expect(test.classes).toEqual(["airplane", "automobile", "bird"]);
  expect([...test.labels!]).toEqual([2]);
  const train = await open(`cifar:${root}:train`, undefined, { mean: [0.1], std: [2] });
  expect([...train.labels!]).toEqual([4, 0, 9]);
  const x = (await train.read([2])).inputs.x.floats();
  expect([x[0], x[area], x[3 * area - 1]]).toEqual(
    [7, 8, 9].map((v) => Math.fround((v / 255 - 0.1) / 2)),
  );
  const nhwc = (await (await open(`cifar:${root}`, ["N", 32, 32, 3], { scale: 1 })).read([0]))
    .inputs.x;
  expect([...nhwc.floats().slice(0, 6)]).toEqual([10, 20, 30, 10, 20, 30]);
});

it("takes CIFAR-100's fine label", async () => {
  const root = folder({
    "test.bin": join(record([11, 49], [0, 0, 0]), record([3, 77], [0, 0, 0])),
  });
  expect([...(await open(`cifar:${root}`)).labels!]).toEqual([49, 77]);
});

it("refuses half a record, a folder without batches, and a grey model", async () => {
  const cut = folder({ "test_batch.bin": record([1], [0, 0, 0]).subarray(0, 3000) });
  expect(await refusal(() => open(`cifar:${cut}`), cut)).toBe(
    "bad-data: /test_batch.bin: has 3000 bytes, not whole records of 3073. The file is damaged: fetch or write it again.",
  );
  const empty = folder({ "readme.html": "" });
  expect(await refusal(() => open(`cifar:${empty}`), empty)).toBe(
    "no-records: : has no CIFAR test files. Give the folder of test_batch.bin (CIFAR-10) or test.bin (CIFAR-100).",
  );
  expect(await refusal(() => open("cifar:/no/such"))).toBe(
    "no-such-file: /no/such: does not exist. Check the path.",
  );
  const colour = folder({ "test_batch.bin": record([1], [1, 2, 3]) });
  expect(await refusal(() => open(`cifar:${colour}`, ["N", 1, 32, 32]))).toContain(
    "has 3 channels, the model's input 1",
  );
});
