/** @file The container: no damage goes unnoticed, no forgery hangs or fills the memory. */

import { crc32 as zlibCrc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeContainer } from "../../src/codec/container.ts";
import { crc32 } from "../../src/codec/decode/crc32.ts";
import { encodeGraph } from "../../src/codec/graph.ts";
import { packModel } from "../../src/onnx/pack.ts";
import { DecodeError, unpack } from "../../src/unpack.ts";
import { linear } from "../support/tiny.ts";
import {
  expectCutsNoticed,
  expectFlipsNoticed,
  expectForgeriesBounded,
  resealed,
} from "./forge.ts";

const W = Float32Array.from({ length: 120 }, (_, i) => ((i * 37) % 19) / 16 - 0.5);
const model = linear(W, new Float32Array(12));
const { bytes: packed } = packModel(model);

test("checksums are those of zip", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      expect(crc32(b, crc32(a))).toBe(zlibCrc32(b, zlibCrc32(a)));
    }),
  );
  expect(resealed(packed)).toEqual(packed);
});

test("what the coder of one graph has learned is not carried over to the next", () => {
  const again = packModel(model).bytes;
  expect(again).toEqual(packed);
});

test("a flipped bit is an error", () => expectFlipsNoticed(packed, 7));

test("a file that is cut, or goes on, is an error", async () => {
  await expectCutsNoticed(packed, 11);
  const longer = new Uint8Array(packed.length + 1);
  longer.set(packed);
  await expect(unpack(longer)).rejects.toThrow("bytes follow its end");
});

test("forged bytes behind a right checksum never crash, hang or grow", () =>
  expectForgeriesBounded(packed, 80));

/** Tokens of a model that is nothing but one tensor of `dims`. */
function tensorOf(dims: readonly number[], coded: number): number[] {
  const varint = (n: number): number[] =>
    n < 128 ? [n] : [(n % 128) | 128, ...varint(Math.floor(n / 128))];
  const sizes = dims.flatMap((dim) => [8, ...varint(dim)]);
  return [0, 0x3b, 0x2b, ...sizes, 16, 1, 0x4c, ...varint(coded), 0, 0, 0];
}

test.each([
  ["a tensor of gigabytes", [2 ** 30], "claim to be a tensor"],
  ["a tensor beyond all numbers", [2 ** 40, 2 ** 40, 2 ** 40], "implausibly large"],
  ["a body that is too short", [100], "wrong|short|cut|end"],
])("%s is refused before it is allocated", async (_, dims, why) => {
  const size = Math.min(2 ** 48, dims.reduce((a, b) => a * b) * 4);
  const { bytes } = encodeGraph(tensorOf(dims, 3));
  const before = process.memoryUsage().arrayBuffers;
  const length = dims.length > 1 ? size : encodeGraph(tensorOf(dims, 3)).byteLength;
  const file = encodeContainer(length, bytes, [Uint8Array.of(0, 1, 2)]);
  await expect(unpack(file)).rejects.toThrow(new RegExp(why));
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 26);
});

test("a graph without end is refused", async () => {
  // Nested messages, and names that stand for longer and longer output.
  const deep = [0, ...Array<number>(5000).fill(0x3b), ...Array<number>(5001).fill(0)];
  expect(() => encodeGraph(deep)).toThrow("nest too deep");
  const empty = encodeContainer(2 ** 40, new Uint8Array(200), []);
  await expect(unpack(empty)).rejects.toThrow(DecodeError);
});

test("says what is wrong", async () => {
  const version = packed.slice();
  version[3] = 9;
  await expect(unpack(version)).rejects.toThrow("it has version 9, not 1");
  await expect(unpack(model)).rejects.toThrow("it does not begin as a .tersor file does");
  await expect(unpack(packed.subarray(0, 30))).rejects.toThrow("ends early");
});
