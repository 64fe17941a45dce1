/** @file NumPy arrays as NumPy wrote them, and what does not fit the model. */
import { zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { readNpy } from "../../src/data/npy.ts";
import { openData } from "../../src/data/open.ts";
import { memorySource } from "../../src/data/zip.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import type { Port } from "../../src/runtime/runtime.ts";
import { folder, port, refusal } from "./folder.ts";

const base64 = (coded: string) => Uint8Array.from(atob(coded), (c) => c.charCodeAt(0));

/** A .npy file, version 1, with the given header words. */
function npy(descr: string, shape: number[], data: ArrayBufferView, fortran = "False"): Uint8Array {
  const dims = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
  const header = `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${dims}, }\n`;
  const head = [
    0x93,
    ...new TextEncoder().encode("NUMPY"),
    1,
    0,
    header.length & 255,
    header.length >> 8,
  ];
  const body = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return Uint8Array.from([...head, ...new TextEncoder().encode(header), ...body]);
}

const x = npy("<f4", [3, 2], Float32Array.of(1, 2, 3, 4, 5, 6));
const label = npy("<i8", [3], BigInt64Array.of(2n, 0n, 1n));
const ports = [port(["N", 2])];

const npz = (files: Record<string, Uint8Array>, level: 0 | 6 = 6) =>
  folder({ "d.npz": zipSync(files, { level }) });
const open = (root: string, wanted: Port[] = ports, options = {}) =>
  openData(`npz:${root}/d.npz`, wanted, options, nodePlatform);

describe("npy", () => {
  it("reads what numpy.lib.format wrote in versions 1, 2 and 3", () => {
    const one = readNpy(
      memorySource(
        base64(
          "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDIpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAMA/AAAAwAAAQED5AhVR",
        ),
      ),
      "a",
    );
    expect([one.dtype, one.shape]).toEqual(["float32", [2, 2]]);
    const values = new Float32Array(one.source.read(0, 16).slice().buffer);
    expect([...values]).toEqual([1.5, -2, 3, 4e10].map(Math.fround));
    const two = readNpy(
      memorySource(
        base64(
          "k05VTVBZAgB0AAAAeydkZXNjcic6ICc8aTgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMywpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAAAAAAEAAAAAAAAAAgAAAAAAAAA=",
        ),
      ),
      "a",
    );
    expect([two.dtype, two.shape, two.source.read(8, 1)[0]]).toEqual(["int64", [3], 1]);
    const three = readNpy(
      memorySource(
        base64(
          "k05VTVBZAwB0AAAAeydkZXNjcic6ICd8YjEnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMiwpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAA==",
        ),
      ),
      "a",
    );
    expect([three.dtype, three.shape, [...three.source.read(0, 2)]]).toEqual(["bool", [2], [1, 0]]);
  });

  it.each<[string, Uint8Array, string]>([
    ["another format", new TextEncoder().encode("hello, hello"), "is not a .npy array"],
    [
      "big-endian",
      npy(">f4", [1], Float32Array.of(1)),
      "has elements of type >f4. Save little-endian numbers",
    ],
    ["text", npy("<U4", [1], new Uint8Array(16)), "has elements of type <U4"],
    [
      "by columns",
      npy("<f4", [2, 2], new Float32Array(4), "True"),
      "is stored by columns. Save np.ascontiguousarray(array)",
    ],
    ["a negative shape", npy("<f4", [-1, 2], new Float32Array(2)), "has a bad shape"],
    ["cut short", x.subarray(0, x.length - 1), "is cut short"],
    ["larger than any file", npy("<f4", [2 ** 31, 2 ** 31], new Float32Array(1)), "is cut short"],
  ])("refuses %s", (_, bytes, words) => {
    expect(() => readNpy(memorySource(bytes), "a")).toThrow(`bad-data: a: ${words}`);
  });
});

describe("npz", () => {
  it("gathers records in the asked order, stored or deflated", async () => {
    for (const level of [0, 6] as const) {
      const data = await open(npz({ "x.npy": x, "label.npy": label }, level));
      expect([data.length, data.labelled, [...data.labels!]]).toEqual([3, true, [2, 0, 1]]);
      const { inputs, label: read } = await data.read([2, 0]);
      expect([inputs.x.shape, [...inputs.x.floats()]]).toEqual([
        [2, 2],
        [5, 6, 1, 2],
      ]);
      expect([read!.dtype, [...read!.numbers()]]).toEqual(["int64", [1, 2]]);
    }
  });

  it("converts to the model's type where no value changes", async () => {
    const root = npz({ "x.npy": npy("<f8", [2, 2], Float64Array.of(1, 2, 3, 4)) });
    const { inputs } = await (await open(root, [port(["N", 2], "x", "int64")])).read([1]);
    expect([inputs.x.dtype, [...inputs.x.numbers()]]).toEqual(["int64", [3, 4]]);
    const half = npz({ "x.npy": npy("<u2", [1, 2], Uint16Array.of(1, 1024)) });
    const { inputs: halves } = await (await open(half, [port(["N", 2], "x", "float16")])).read([0]);
    expect([...halves.x.floats()]).toEqual([1, 1024]);
    for (const [value, dtype] of [
      [0.5, "int64"],
      [300, "uint8"],
      [-1, "uint8"],
      [Number.NaN, "int32"],
    ] as const) {
      const bad = npz({ "x.npy": npy("<f8", [1, 2], Float64Array.of(0, value)) });
      const read = async () => (await open(bad, [port(["N", 2], "x", dtype)])).read([0]);
      expect(await refusal(read, bad)).toBe(
        `bad-data: npz:/d.npz: "x" holds ${value}, which ${dtype} cannot. Store the array as ${dtype}.`,
      );
    }
  });

  it("takes labels per token, and float targets of two axes", async () => {
    const tokens = npy("<i4", [3, 2], Int32Array.of(1, 2, 3, 4, 5, 6));
    const { label: perToken } = await (await open(npz({ "x.npy": x, "label.npy": tokens }))).read([
      1,
    ]);
    expect([perToken!.dtype, perToken!.shape, [...perToken!.numbers()]]).toEqual([
      "int64",
      [1, 2],
      [3, 4],
    ]);
    const target = npy("<f8", [3, 1], Float64Array.of(0.25, 1, 2));
    const { label: read } = await (await open(npz({ "x.npy": x, "label.npy": target }))).read([
      0, 1,
    ]);
    expect([read!.dtype, read!.shape, [...read!.numbers()]]).toEqual([
      "float32",
      [2, 1],
      [0.25, 1],
    ]);
  });

  it("adds the label offset", async () => {
    const data = await open(npz({ "x.npy": x, "label.npy": label }), ports, { labelOffset: 10 });
    expect([...(await data.read([0])).label!.numbers()]).toEqual([12]);
  });

  it.each<[string, Record<string, Uint8Array>, Port[], string]>([
    [
      "other names",
      { "y.npy": x, "z.npy": x },
      ports,
      'wrong-input: npz:/d.npz: has no array "x" but y, z (the model\'s inputs: x float32 [N,2]). Name the arrays as the model\'s inputs, and the labels "label".',
    ],
    [
      "other names beside labels",
      { "y.npy": x, "label.npy": label },
      ports,
      'wrong-input: npz:/d.npz: has no array "x" but y, label (the model\'s inputs: x float32 [N,2]). Name the arrays as the model\'s inputs, and the labels "label".',
    ],
    [
      "another shape",
      { "x.npy": x },
      [port(["N", 1, 2])],
      'wrong-shape: npz:/d.npz: "x" has shape [3,2], the model takes x float32 [N,1,2]. Reshape the array.',
    ],
    [
      "another size",
      { "x.npy": x },
      [port(["N", 3])],
      'wrong-shape: npz:/d.npz: "x" has shape [3,2], the model takes x float32 [N,3]. Reshape the array.',
    ],
    [
      "fewer labels",
      { "x.npy": x, "label.npy": npy("<i8", [2], new BigInt64Array(2)) },
      ports,
      "label-count: npz:/d.npz: has 2 labels for 3 records. Give one label per record.",
    ],
    [
      "labels that are no whole numbers",
      { "x.npy": x, "label.npy": npy("<f4", [3], Float32Array.of(1, 2, 2.5)) },
      ports,
      "bad-label: npz:/d.npz[2]: label 2.5 is not a whole number. Number the classes from 0; regression targets go in npz: as an array of 2 or more axes.",
    ],
    [
      "inputs of different lengths",
      { "x.npy": x, "y.npy": npy("<f4", [2, 2], new Float32Array(4)) },
      [...ports, port(["N", 2], "y")],
      'bad-data: npz:/d.npz: has 2 records of "y" and 3 of the first input. Give every input the same number of records.',
    ],
    [
      "no records",
      { "x.npy": npy("<f4", [0, 2], new Float32Array(0)) },
      ports,
      "no-records: npz:/d.npz: holds no records. Check the file.",
    ],
  ])("refuses %s", async (_, files, wanted, words) => {
    const root = npz(files);
    expect(await refusal(() => open(root, wanted), root)).toBe(words);
  });

  it("refuses image options and a cut file", async () => {
    const root = npz({ "x.npy": x });
    expect(await refusal(() => open(root, ports, { mean: [1] }), root)).toBe(
      "bad-option: npz:/d.npz: --mean is about images, and these records are taken as they are. Leave it out.",
    );
    const cut = folder({ "d.npz": zipSync({ "x.npy": x }).subarray(0, 100) });
    expect(await refusal(() => open(cut), cut)).toBe(
      "bad-data: /d.npz: is not a complete zip archive. The file is damaged: fetch or write it again.",
    );
  });
});
