/**
 * @file Matrices of Winograd's minimal filtering F(m, 3): m outputs of a filter with 3 taps by m + 2
 * multiplications (Lavin, Gray 2015, arXiv 1509.09308, section 4).
 *
 *   y = A^T ((G g) . (B^T d)),   d m + 2 inputs, g the 3 taps, . elementwise
 */

/** How many outputs along an axis are computed together. */
export type TileSize = 2 | 4;

export interface Transforms {
  /** G [m + 2, 3] of the taps, row-major as all of them. */
  readonly taps: readonly number[];
  /** B^T [m + 2, m + 2] of the inputs. */
  readonly inputs: readonly number[];
  /** A^T [m, m + 2] of the products. */
  readonly outputs: readonly number[];
}

/** Points 0, 1, -1 (and 2, -2 for m = 4) and infinity. */
export const winogradTransforms: Readonly<Record<TileSize, Transforms>> = {
  2: {
    taps: [
      [1, 0, 0],
      [1 / 2, 1 / 2, 1 / 2],
      [1 / 2, -1 / 2, 1 / 2],
      [0, 0, 1],
    ].flat(),
    inputs: [
      [1, 0, -1, 0],
      [0, 1, 1, 0],
      [0, -1, 1, 0],
      [0, 1, 0, -1],
    ].flat(),
    outputs: [
      [1, 1, 1, 0],
      [0, 1, -1, -1],
    ].flat(),
  },
  4: {
    taps: [
      [1 / 4, 0, 0],
      [-1 / 6, -1 / 6, -1 / 6],
      [-1 / 6, 1 / 6, -1 / 6],
      [1 / 24, 1 / 12, 1 / 6],
      [1 / 24, -1 / 12, 1 / 6],
      [0, 0, 1],
    ].flat(),
    inputs: [
      [4, 0, -5, 0, 1, 0],
      [0, -4, -4, 1, 1, 0],
      [0, 4, -4, -1, 1, 0],
      [0, -2, -1, 2, 1, 0],
      [0, 2, -1, -2, 1, 0],
      [0, 4, 0, -5, 0, 1],
    ].flat(),
    outputs: [
      [1, 1, 1, 1, 1, 0],
      [0, 1, -1, 2, -2, 0],
      [0, 1, 1, 4, 4, 0],
      [0, 1, -1, 8, -8, 1],
    ].flat(),
  },
};
