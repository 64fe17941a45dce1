/** @file Images lose what would turn them in a browser; sharp, an independent reader, sees none. */
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { withoutOrientation } from "../../src/browser/orientation.ts";
import { nodePlatform } from "../../src/node/platform.ts";

const raw = Buffer.from(Array.from({ length: 8 * 4 * 3 }, (_, i) => (i * 7) % 256));
const image = sharp(raw, { raw: { width: 8, height: 4, channels: 3 } });
/** Orientation 6: shown turned by 90 degrees, so as 4 x 8 pixels. */
const turned = () => image.clone().withMetadata({ orientation: 6 });
const encoded = {
  jpeg: () => turned().jpeg().toBuffer(),
  png: () => turned().png().toBuffer(),
  webp: () => turned().webp({ lossless: true }).toBuffer(),
  "lossy webp": () => turned().webp().toBuffer(),
};

describe.each(Object.entries(encoded))("%s", (_, encode) => {
  test("has no orientation any more, and the pixels that Node decodes", async () => {
    const before = new Uint8Array(await encode());
    expect((await sharp(before).metadata()).orientation).toBe(6);
    const after = withoutOrientation(before);
    const { orientation, width, height } = await sharp(after).metadata();
    expect([orientation, width, height]).toEqual([undefined, 8, 4]);
    const [a, b] = await Promise.all([before, after].map((file) => nodePlatform.decodeImage(file)));
    expect(b).toEqual(a);
    // What a viewer that obeys EXIF data shows is now the same.
    const { info } = await sharp(after).rotate().raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([8, 4]);
  });

  test("cut anywhere, it is no reason to throw", async () => {
    const whole = new Uint8Array(await encode());
    for (let length = 0; length <= whole.length; length++) {
      const part = withoutOrientation(whole.subarray(0, length));
      expect(part.length).toBeLessThanOrEqual(length);
    }
  });
});

test("a file without EXIF data, and one that is no image, stay as they are", async () => {
  const plain = new Uint8Array(await image.clone().jpeg().toBuffer());
  expect(withoutOrientation(plain)).toBe(plain);
  const text = new TextEncoder().encode("Exif, but no image");
  expect(withoutOrientation(text)).toBe(text);
});
