/** @file Numbers for people: examples at the edges where rounding changes the unit, and properties. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as format from "../../src/report/format.ts";

describe("figures", () => {
  test.each([
    [0, "0 B"],
    [512, "512 B"],
    [999.4, "999 B"],
    [999.6, "1.00 kB"],
    [44_200, "44.2 kB"],
    [431_080, "431 kB"],
    [999_499, "999 kB"],
    [999_500, "1.00 MB"],
    [1_724_320, "1.72 MB"],
    [2.5e15, "2,500 TB"],
    [null, "-"],
    [Number.NaN, "-"],
  ])("bytes(%s) is %s", (n, text) => expect(format.bytes(n)).toBe(text));

  test.each([
    [431_080, "431,080"],
    [12, "12"],
    [-1_234_567, "-1,234,567"],
    [null, "-"],
  ])("count(%s) is %s", (n, text) => expect(format.count(n)).toBe(text));

  test.each([
    [0.0712, "0.071"],
    [0.9999, "1.000"],
    [0.0001, "<0.001"],
    [0, "0.000"],
    [12.345, "12.3"],
    [99.96, "100"],
    [1234.5, "1,235"],
  ])("milliseconds(%s) is %s", (n, text) => expect(format.milliseconds(n)).toBe(text));

  test.each([
    [0.5234, "+0.52"],
    [-0.1, "-0.10"],
    [0.001, "0.00"],
    [-0.001, "0.00"],
    [null, "-"],
    [Number.POSITIVE_INFINITY, "-"],
  ])("points(%s) is %s", (n, text) => expect(format.points(n)).toBe(text));

  test.each([
    [0.974, "0.97x"],
    [1, "1.00x"],
    [1.996, "2.0x"],
    [3.87, "3.9x"],
    [99.96, "100x"],
    [1234, "1,234x"],
  ])("ratio(%s) is %s", (n, text) => expect(format.ratio(n)).toBe(text));

  test.each([
    [0.84, "0.8 s"],
    [9.96, "10 s"],
    [59.7, "1 min"],
    [185, "3 min 5 s"],
    [4320, "1 h 12 min"],
    [7199, "2 h"],
  ])("duration(%s) is %s", (n, text) => expect(format.duration(n)).toBe(text));

  test("bytes reads back to within half a unit of the third digit", () => {
    const unit = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e14 }), (n) => {
        const [digits, name] = format.bytes(n).replaceAll(",", "").split(" ");
        const back = Number(digits) * unit[name as keyof typeof unit];
        expect(Math.abs(back - n) / n).toBeLessThanOrEqual(0.00501);
      }),
    );
  });
});

describe("names", () => {
  test("options go where the bare names still differ", () => {
    const names = format.shortNames(["a:x=1 > train", "b:x=1 > pack", "c:x=1", "c:x=2", "c:x=2"]);
    expect([...names.values()]).toEqual(["a > train", "b > pack", "c:x=1", "c:x=2"]);
  });

  test("no control, bidi or zero-width character gets through", () => {
    expect(format.printable("a\u001b[31mb\u202ec\u200bd\ne\u0085")).toBe(
      "a\uFFFD[31mb\uFFFDc\uFFFDd\uFFFDe\uFFFD",
    );
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const codes = [...format.printable(text)].map((char) => char.codePointAt(0)!);
        const control = (c: number) => c < 0x20 || (c >= 0x7f && c <= 0x9f);
        expect(codes.filter((c) => control(c) || (c >= 0xd800 && c <= 0xdfff))).toEqual([]);
      }),
    );
  });

  test("widths of Latin, combining, CJK", () => {
    expect(format.displayWidth("abc")).toBe(3);
    expect(format.displayWidth("e\u0301")).toBe(1);
    expect(format.displayWidth("模型x")).toBe(5);
  });
});
