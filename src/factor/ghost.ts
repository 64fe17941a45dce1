/** @file A convolution with fewer filters: the other outputs are cheap copies of those that are left. */
import type { Branches, Insert, Outline } from "../layers/chain.ts";
import { costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { solveSpd } from "../numeric/cholesky.ts";
import { windowOf } from "../ops/window.ts";
import type { Decomposition, Evidence, Point } from "./decomposition.ts";
import { reordered } from "./features.ts";
import { whyNoKernel } from "./kernel.ts";

/** Shares of the outputs that may become ghosts. */
const SHARES = [1 / 2, 3 / 8, 1 / 4, 1 / 8];
/** A ghost is a 3x3 filter of its primary. */
const SIDE = 3;
const SIZE = SIDE * SIDE;

/**
 * The outputs are split into primaries, whose filters stay, and ghosts; ghost j is a depthwise filter D_j
 * of one primary i, so that each primary has one ghost at most:
 *   K_j ~ sum_s D_j[s] (K_i moved by s strides)
 * D is the least squares solution where the inputs at all positions and of all channels are uncorrelated
 * and have their own mean squares. Pairs are taken from the one that loses least on. GhostNet has an
 * activation in front of D, which only training from the start can use.
 */
export function decomposeGhost(
  layer: Layer,
  evidence: Evidence,
  _: object,
): Decomposition | string {
  const refused = whyNoKernel(layer, 1);
  if (refused) return refused;
  const { outputs, inputs, kernel, node } = layer;
  if (kernel.length !== 2) return `has a kernel along ${kernel.length} axes; ghosts need two`;
  const { strides, dilations } = windowOf(node, kernel);
  if (dilations.some((step) => step !== 1)) return "has dilated filters";
  if (outputs < 8) return `has only ${outputs} outputs`;
  const filters = filtersOf(layer, evidence);
  const [rows, columns] = kernel;
  const length = inputs * rows * columns;
  /** Filter i moved by (a, b) strides, cut to the window; what hangs over is 0 in K_j. */
  const moved = (i: number, s: number): Float64Array => {
    const [down, right] = [(Math.floor(s / SIDE) - 1) * strides[0], ((s % SIDE) - 1) * strides[1]];
    const out = new Float64Array(length);
    for (let c = 0; c < inputs; c++) {
      for (let p = 0; p < rows; p++) {
        for (let q = 0; q < columns; q++) {
          const [from, to] = [p - down, q - right];
          if (from < 0 || from >= rows || to < 0 || to >= columns) continue;
          const at = (c * rows + from) * columns + to;
          out[(c * rows + p) * columns + q] = filters[i * length + at];
        }
      }
    }
    return out;
  };
  const pairs: Pair[] = [];
  const squares = Array.from({ length: outputs }, (_, o) =>
    filters.subarray(o * length, (o + 1) * length).reduce((sum, x) => sum + x * x, 0),
  );
  for (let i = 0; i < outputs; i++) {
    const all = Array.from({ length: SIZE }, (_, s) => moved(i, s));
    const gram = autocorrelation(filters.subarray(i * length, (i + 1) * length), layer, strides);
    const cross = new Float64Array(SIZE * outputs);
    for (let j = 0; j < outputs; j++) {
      for (const [s, own] of all.entries()) {
        let sum = 0;
        for (let at = 0; at < length; at++) sum += own[at] * filters[j * length + at];
        cross[s * outputs + j] = sum;
      }
    }
    const solved = solveSpd(gram, SIZE, cross, outputs);
    for (let j = 0; j < outputs; j++) {
      if (j === i) continue;
      const filter = new Float64Array(SIZE);
      let error = squares[j];
      for (let s = 0; s < SIZE; s++) {
        filter[s] = solved[s * outputs + j];
        error -= filter[s] * cross[s * outputs + j];
      }
      const cost = Math.max(0, error) * (evidence.gains?.[j] ?? 1);
      pairs.push({ primary: i, ghost: j, filter, cost });
    }
  }
  pairs.sort((a, b) => a.cost - b.cost || a.ghost - b.ghost || a.primary - b.primary);
  const used = new Set<number>();
  const matched = pairs.filter(({ primary, ghost }) => {
    if (used.has(primary) || used.has(ghost)) return false;
    used.add(primary).add(ghost);
    return true;
  });
  const outline = (ghosts: number): [Outline, Branches<Outline>] => {
    const primary = { name: "primary", shape: [outputs - ghosts, inputs, ...kernel], axes: [0, 1] };
    const cheap = { name: "ghost", shape: [ghosts, 1, SIDE, SIDE], groups: ghosts, axes: [] };
    return [primary, { join: "concat", branches: [[], [first(ghosts), cheap]] }];
  };
  const counts = SHARES.map((share) => Math.floor(share * outputs));
  const points = counts.map((ghosts): Point => {
    const { params, macs } = costOf(layer, outline(ghosts));
    const error = matched.slice(0, ghosts).reduce((sum, { cost }) => sum + cost, 0);
    return { ranks: [outputs - ghosts], error, parameters: params, macs };
  });
  return {
    points,
    energy: squares.reduce((sum, square, o) => sum + square * (evidence.gains?.[o] ?? 1), 0),
    chainAt({ ranks: [left] }) {
      const ghosts = matched.slice(0, outputs - left);
      const gone = new Set(ghosts.map(({ ghost }) => ghost));
      const paired = ghosts.map(({ primary }) => primary);
      const alone = Array.from({ length: outputs }, (_, o) => o).filter(
        (o) => !gone.has(o) && !paired.includes(o),
      );
      const primaries = [...paired, ...alone];
      const values = new Float64Array(left * length);
      for (const [at, o] of primaries.entries()) {
        values.set(layer.matrix.subarray(o * length, (o + 1) * length), at * length);
      }
      const cheap = Float64Array.from(ghosts.flatMap(({ filter }) => [...filter]));
      const [primary, { join, branches }] = outline(ghosts.length);
      const [, [take, copy]] = branches;
      return [
        { ...primary, values },
        { join, branches: [[], [take as Insert, { ...(copy as Outline), values: cheap }]] },
        reordered([...primaries, ...ghosts.map(({ ghost }) => ghost)]),
      ];
    },
  };
}

interface Pair {
  readonly primary: number;
  readonly ghost: number;
  /** D [3, 3]. */
  readonly filter: Float64Array;
  readonly cost: number;
}

/** The first channels, which have ghosts. */
const first =
  (count: number): Insert =>
  (g, x) =>
    x.shape?.[1] === count
      ? x
      : g.Slice(x, g.ints([0], "starts"), g.ints([count], "ends"), g.ints([1], "axes"));

/** The filters, each channel multiplied by the root mean square of what it reads. */
function filtersOf({ matrix, inputs, outputs }: Layer, { whitener }: Evidence): Float64Array {
  const columns = matrix.length / outputs;
  const taps = columns / inputs;
  const filters = Float64Array.from(matrix);
  if (!whitener) return filters;
  for (let c = 0; c < inputs; c++) {
    let power = 0;
    for (let t = c * taps; t < (c + 1) * taps; t++) {
      for (let j = 0; j <= t; j++) power += whitener.factor[t * columns + j] ** 2 / taps;
    }
    for (let o = 0; o < outputs; o++) {
      for (let t = c * taps; t < (c + 1) * taps; t++) filters[o * columns + t] *= Math.sqrt(power);
    }
  }
  return filters;
}

/** The products of all pairs of moved filters [9, 9], parts outside the window included. */
function autocorrelation(
  filter: Float64Array,
  { inputs, kernel: [rows, columns] }: Layer,
  strides: readonly number[],
): Float64Array {
  const at = (down: number, right: number): number => {
    let sum = 0;
    for (let c = 0; c < inputs; c++) {
      for (let p = Math.max(0, down); p < Math.min(rows, rows + down); p++) {
        for (let q = Math.max(0, right); q < Math.min(columns, columns + right); q++) {
          const other = (c * rows + p - down) * columns + q - right;
          sum += filter[(c * rows + p) * columns + q] * filter[other];
        }
      }
    }
    return sum;
  };
  const gram = new Float64Array(SIZE * SIZE);
  for (let s = 0; s < SIZE; s++) {
    for (let t = 0; t < SIZE; t++) {
      const down = (Math.floor(s / SIDE) - Math.floor(t / SIDE)) * strides[0];
      gram[s * SIZE + t] = at(down, ((s % SIDE) - (t % SIDE)) * strides[1]);
    }
  }
  for (let s = 0; s < SIZE; s++) gram[s * SIZE + s] += 1e-9 * gram[0] || 1e-30;
  return gram;
}
