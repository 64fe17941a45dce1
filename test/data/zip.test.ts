/** @file Zip archives: what fflate and Python write, zip64, and every kind of damage. */
import fc from "fast-check";
import { zipSync } from "fflate";
import { expect, it } from "vitest";
import { memorySource, openZip } from "../../src/data/zip.ts";
import { TersorError } from "../../src/errors.ts";

const open = (bytes: Uint8Array) => openZip(memorySource(bytes), "z");
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const base64 = (coded: string) => Uint8Array.from(atob(coded), (c) => c.charCodeAt(0));

/** One deflated entry with 64-bit fields throughout; Python's zipfile reads it. */
const zip64 = base64(
  "UEsDBC0AAAgIAAAAIQASm78w//////////8HABQAYS9iLnR4dAEAEAB4AAAAAAAAAAsAAAAAAAAAq8osMDNRqKI7CQBQSwECLQAtAAAICAAAACEAEpu/MP//////////BwAcAAAAAAAAAAAAAAD/////YS9iLnR4dAEAGAB4AAAAAAAAAAsAAAAAAAAAAAAAAAAAAABQSwYGLAAAAAAAAAAtAC0AAAAAAAAAAAABAAAAAAAAAAEAAAAAAAAAUQAAAAAAAABEAAAAAAAAAFBLBgcAAAAAlQAAAAAAAAABAAAAUEsFBgAAAAD///////////////8AAA==",
);

it("reads what fflate wrote, stored or deflated, whole or as a source", () => {
  const content = fc.dictionary(
    fc.stringMatching(/^[a-z]{1,8}$/),
    fc.uint8Array({ maxLength: 2000 }),
  );
  fc.assert(
    fc.property(content, fc.constantFrom(0 as const, 6 as const), (files, level) => {
      const entries = open(zipSync(files, { level }));
      expect([...entries.keys()].sort()).toEqual(Object.keys(files).sort());
      for (const [name, bytes] of Object.entries(files)) {
        const entry = entries.get(name)!;
        expect([...entry.read()]).toEqual([...bytes]);
        const source = entry.source();
        const half = bytes.length >> 1;
        expect([...source.read(half, bytes.length - half)]).toEqual([...bytes.subarray(half)]);
      }
    }),
    { numRuns: 50 },
  );
});

it("reads zip64", () => {
  expect(text(open(zip64).get("a/b.txt")!.read())).toBe("zip64 ".repeat(20));
});

it("refuses any cut, and never throws anything but its own errors on damage", () => {
  const whole = zipSync({ "a.bin": new Uint8Array(300).fill(7), "b.bin": Uint8Array.of(1, 2, 3) });
  const readAll = (bytes: Uint8Array) => [...open(bytes).values()].map((entry) => entry.read());
  for (let length = 0; length < whole.length; length++) {
    expect(() => readAll(whole.subarray(0, length)), `cut at ${length}`).toThrow(TersorError);
  }
  for (const bytes of [whole, zip64]) {
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const damaged = bytes.slice();
        damaged[at] ^= flip;
        try {
          readAll(damaged);
        } catch (error) {
          expect(error, `byte ${at}`).toBeInstanceOf(TersorError);
        }
      }
    }
  }
});

it("notices changed content, and a claim larger than deflate can hold, before allocating it", () => {
  const stored = zipSync({ "a.bin": Uint8Array.of(10, 20, 30) }, { level: 0 });
  const content = stored.findIndex((_, i) => stored[i] === 10 && stored[i + 2] === 30);
  stored[content + 1] ^= 1;
  expect(() => open(stored).get("a.bin")!.read()).toThrow("bad-data: z/a.bin: fails its checksum.");
  const bomb = zip64.slice();
  // The inflated size is the first of three 64-bit fields at the directory's end.
  new DataView(bomb.buffer).setBigUint64(bomb.length - 22 - 20 - 56 - 24, 2n ** 40n, true);
  expect(() => open(bomb).get("a/b.txt")!.read()).toThrow("claims 1099511627776 bytes in 11");
});
