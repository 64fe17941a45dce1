/** @file Butterfly: blocks that are products of sparse factors, each of which mixes pairs. */
import { levelsOf } from "../../numeric/butterfly.ts";
import { fromBlocks } from "../blocks.ts";
import { defineForm, learns, type Shape } from "../form.ts";

/** Numbers of levels that there are, up to blocks of 128; each is a structure of nodes of its own. */
const DEPTHS = [1, 2, 3, 4, 5, 6, 7];

/**
 * W [m, n] of blocks [b, b], b a power of two, twiddle [p q, log2 b, 2 b] with p = ceil(m / b) and
 * q = ceil(n / b). A block is F_b, where for each of the blocks of a level, from the last level on,
 *   F_2h[(l, j), (i, t)] = D[l, j, i] F_h,i[j, t],   F_1 = 1
 * What stands over m or n is cut off.
 */
export const butterfly = defineForm({
  kind: "butterfly",
  cite: "Dao et al. 2019, arXiv 1903.05895; Le et al. 2021, arXiv 2110.01230",
  doc: "W = B_b ... B_4 B_2 in blocks, each factor of 2 x 2 blocks of diagonals",
  theta: { twiddle: learns({ channels: 0 }) },
  build(g, { twiddle }, shape) {
    const [blocks, depth, twice] = twiddle.shape as Shape;
    const size = twice / 2;
    const level = (s: number, half: number) =>
      g.Reshape(
        g.Gather(twiddle, g.constant(s, { dtype: "int64" }), { axis: 1 }),
        g.ints([blocks * (size / (2 * half)), 2, half, 2, 1], "level"),
      );
    // [blocks, l, j, i, t] of the last level, whose F_1 are 1.
    let f = level(depth - 1, 1);
    for (let s = depth - 2, half = 2; s >= 0; s--, half *= 2) {
      const inner = g.Reshape(f, g.ints([-1, 1, 2, half, half], "inner"));
      f = g.Mul(level(s, half), g.Transpose(inner, { perm: [0, 1, 3, 2, 4] }));
    }
    return fromBlocks(g, f, size, shape);
  },
  examples: DEPTHS.map((depth) => {
    const size = 2 ** depth;
    return { shape: [size + 1, 2], theta: { twiddle: [2, depth, 2 * size] } };
  }),
});

/** The largest block of a butterfly. */
export const LARGEST = 2 ** (DEPTHS.at(-1) as number);

/** How many numbers a block takes. */
export const butterflySize = (size: number): number => 2 * size * levelsOf(size);
