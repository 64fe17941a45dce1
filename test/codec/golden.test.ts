import { describe, expect, it } from "vitest";
import { Reader } from "../../src/codec/decode/reader.ts";
import { decodeSymbols, PACKED } from "../../src/codec/decode/symbols.ts";
import { decodeTensor } from "../../src/codec/tensor.ts";

/** Written by version 1 of the format: every later decoder reads them. */
const golden: [number, string][] = [
  [
    0,
    "09045015955555575555255553551855553a558555595655455555525a055555595575505555653555555155a57555585562",
  ],
  [1, "0534e176caf40b4369f840f09005fb90b40b07c232d0f007b81e14ac4f222e"],
  [2, "031c0429699abb05498a6cf7ab0b09aafd831b239b1b71d7112dd17ef2ed29db874316"],
  [3, "0206cd67063f6c137399fdc85bfa149115b5733e63c9e358188e5b"],
  [4, "010b0b2002aa905539da955691a81955586f5fff21007526284567a5339e9dfacf734472ec9c1080"],
  [11, "000903c2bcdae5d21f03bc0206cd669f153a3c41bbdb3e72e57f8b89306c0c34bd2b3ec4b67bcb9d7c2a5892"],
  [
    12,
    "000903c2bcdae5d21f03bc010e1420034a8fe8819da8f6af534e28d16770f6f309492000869f9f9be4199c13b9bc0189472792693defb1d6a77f9c2d8f578a4ed6ad49",
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
