import { describe, expect, it } from "vitest";
import { DecodeError } from "../../src/codec/decode/error.ts";
import { Reader } from "../../src/codec/decode/reader.ts";
import { decodeSymbols, PACKED } from "../../src/codec/decode/symbols.ts";
import { writeTable } from "../../src/codec/encode/rans.ts";
import { decodeTensor } from "../../src/codec/tensor.ts";

/** Written by version 1 of the format: every later decoder reads them. */
const golden: [number, string][] = [
  [
    0,
    "09045015955555575555255553551855553a558555595655455555525a055555595575505555653555555155a57555585562",
  ],
  [1, "0534e176c9970b4369f840f09005fb90b40b07c232d0f007b81e14ac4f222e"],
  [2, "031c032969ad05498a6cdb890b09aafd831b239b1b71d7112dd17ef2ed29db874316"],
  [3, "0206cd670d578986fec9c8678454b2fcd74976ca2ef60a94e5b805"],
  [4, "010b0b2002ab505539dc93d7535c1955586f5fff21007526284567a5339e9dfacf734472ec9c1080"],
  [11, "000903c2bd01f6245f97f30206cd66a5617f5c0c9a5ede9d688029384df10eb292be3b6d1f16ac7ef2de2e"],
  [
    12,
    "000903c2bd01f6245f97f3010e1520034b4fe8819ed421adeca801c5527f9ab2ccd3492000869f9f9be4199c13b9bc0189472792693defb1d6a77f9c2d8f578a4ed6ad49",
  ],
];

const values = Int32Array.from({ length: 96 }, (_, i) =>
  i % 5 === 0 || i % 7 === 3 ? ((i * 37) % 11) - 5 : 0,
);

const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

describe("bodies of version 1", () => {
  it.each(golden)("coder %i", (id, hex) => {
    expect(decodeSymbols(id, new Reader(fromHex(hex)), [4, 6, 2, 2])).toEqual(values);
  });

  it("packed symbols, by hand: -2 is folded to 3; 0, 1, 5, 2 less -2 in 3 bits, low first", () => {
    // 2, 3, 7, 4 = 010 110 111 001 low bit first -> bytes 11011010, ....1001 read from the right
    const bytes = Uint8Array.of(3, 3, 0b11_011_010, 0b1001);
    expect([...decodeSymbols(PACKED, new Reader(bytes), [4])]).toEqual([0, 1, 5, 2]);
  });

  it("grids, by hand: 1, 2, 7, 2 with a scale for each row, or for each column", () => {
    const scales = [...new Uint8Array(Float32Array.of(0.5, -2).buffer)];
    const packed = [0, 3, 0b11_010_001, 0b101]; // least 0, 3 bits: 1, 2, 7, 2 (as below)
    const floats = (step: number) =>
      new Float32Array(
        decodeTensor(Uint8Array.from([0x80, step, 2, ...scales, ...packed]), "float32", [2, 2])
          .buffer,
      );
    expect([...floats(2)]).toEqual([0.5, 1, -14, -4]);
    expect([...floats(1)]).toEqual([0.5, -4, 3.5, -4]);
  });

  it("copies, by hand: rows 1 and 3 are new, row 2 is the first again", () => {
    const table = writeTable([0, 1, 0], 1, 3);
    const packed = [0x10, 0, 0, 3, 0b11_010_001, 0b101]; // integers, centre 0: 1, 2, 7, 2
    const rows = [0x70, 0, 2, table.length, ...table, ...packed];
    expect([...decodeTensor(Uint8Array.from(rows), "int8", [3, 2])]).toEqual([1, 2, 1, 2, 7, 2]);
    const columns = [...rows];
    columns[1] = 1;
    expect([...decodeTensor(Uint8Array.from(columns), "int8", [2, 3])]).toEqual([1, 1, 2, 7, 7, 2]);
    columns[2] = 1; // the second new line has no original
    expect(() => decodeTensor(Uint8Array.from(columns), "int8", [2, 3])).toThrow(DecodeError);
  });

  it("a grid, a codebook and split floats, by hand", () => {
    const floats = (body: number[]) => [
      ...new Float32Array(decodeTensor(Uint8Array.from(body), "float32", [2]).buffer),
    ];
    const packed = [3, 2, 0b1000]; // -2 and 0
    const scale = [0, 0, 0, 0x3f]; // 0.5
    expect(floats([0x30, ...scale, ...packed])).toEqual([-1, 0]);
    const table = [0, 0, 0x40, 0x40, 0, 0, 0, 0, 0, 0, 0x80, 0xbf]; // 3, 0, -1
    expect(floats([0x20, 2, 12, ...table, ...packed])).toEqual([3, -1]);
    // plain 0, dropped 23: heads are exponents. Top 128, symbol -2 -> exponent 127 with a minus: -1.
    expect(floats([0x40, 0, 23, 128, 1, 0, ...packed])).toEqual([-1, 0]);
  });
});
