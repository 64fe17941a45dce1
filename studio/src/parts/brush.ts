/** @file The brush: a soft dot on a picture of 28 x 28 bytes, white on black as in MNIST. */

/** Pixels of a side. */
export const size = 28;
/** Radius of the dot's full part, and the width of its soft border, pixels. */
const [radius, border] = [0.9, 1];

/** A copy with a dot at (x, y), pixels from the upper left corner; what is brighter stays. */
export function dabbed(pixels: Uint8Array, x: number, y: number): Uint8Array {
  return pixels.map((old, i) => {
    const far = Math.hypot((i % size) + 0.5 - x, Math.floor(i / size) + 0.5 - y);
    const share = Math.max(0, Math.min(1, (radius + border - far) / border));
    return Math.max(old, Math.round(255 * share));
  });
}
