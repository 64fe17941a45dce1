/**
 * @file How a convolution is cut into tiles for a product of spectra: sizes of transforms, and what they
 * cost (Mathieu, Henaff, LeCun 2013, arXiv 1312.5851; tiles: Vasilache et al. 2014, arXiv 1412.7580).
 *
 * m outputs depend on m + k - 1 inputs (overlap-save). A transform of T points adds the products whose
 * exponents differ by T, so that T has to be large enough for these to miss the m outputs.
 */

/** What decides the sizes: one convolution along each axis of a map, stride 1. */
export interface Convolved {
  readonly size: number;
  readonly taps: number;
  readonly begin: number;
  readonly end: number;
  readonly result: number;
}

/** One axis of a picture, or the rows or columns into which a line is written. */
export interface Span {
  /** T: points of the transform. */
  readonly points: number;
  /** Inputs of a tile. */
  readonly inputs: number;
  /** Outputs of a tile. */
  readonly outputs: number;
  /** Zeros in front of a tile that are never read: its first output has exponent -skipped. */
  readonly skipped: number;
}

export interface Plan {
  readonly isLine: boolean;
  readonly spans: readonly [Span, Span];
  /** Tiles along each axis of the map. */
  readonly tiles: readonly number[];
  /** Outputs from one tile to the next, along each axis. */
  readonly steps: readonly number[];
}

/** Channels of a convolution. */
export interface Channels {
  readonly inputs: number;
  readonly outputs: number;
  readonly groups: number;
}

/** Multiplications that take as long as moving a number through memory once, about. */
const MOVE = 16;
/** Numbers of a spectrum of the filters, 256 MB: an engine in a page has few times as much memory. */
const MOST_NUMBERS = 2 ** 26;
/** Plans that are worth timing. */
const TRIED = 3;
/** More tiles along an axis than this are not tried for a picture. */
const MOST_TILES = 12;

/** Multiplications and moves for one record, in multiplications. */
export function costOf(plan: Plan, { inputs, outputs, groups }: Channels): number {
  const { spans, tiles } = plan;
  const [down, across] = spans;
  const count = tiles.reduce((a, b) => a * b, 1);
  const points = 1.5 * down.points * across.points;
  const way = (n1: number, n2: number, channels: number) => {
    const moved = (count > 1 ? 3 : 1) * n1 * n2 + down.points * n2 + points;
    return channels * (down.points * n1 * n2 + 2 * points * n2 + MOVE * moved);
  };
  const there = way(down.inputs, across.inputs, inputs);
  const back = way(down.outputs, across.outputs, outputs);
  const spectrum = numbersOf(plan, { inputs, outputs, groups });
  return count * (there + back + spectrum) + MOVE * spectrum;
}

/** Numbers of the transformed filters, three for each point, which the engine holds in memory. */
export function numbersOf({ spans }: Plan, { inputs, outputs, groups }: Channels): number {
  return (1.5 * spans[0].points * spans[1].points * inputs * outputs) / groups;
}

/**
 * Plans worth timing, the least cost first: the cheapest of each kind, and at most `most` (default 3). Kinds of a
 * picture differ in the axes that are cut into tiles, those of a line in its columns. None where the
 * transformed filters would take more than 256 MB.
 */
export function plansOf(axes: readonly Convolved[], channels: Channels, most = TRIED): Plan[] {
  const all = axes.length === 1 ? lines(axes[0]) : pictures(axes as [Convolved, Convolved]);
  const best = new Map<string, { readonly plan: Plan; readonly cost: number }>();
  for (const plan of all) {
    if (numbersOf(plan, channels) > MOST_NUMBERS) continue;
    const cost = costOf(plan, channels);
    const { isLine, spans, tiles } = plan;
    const kind = isLine ? `${spans[1].points}` : `${tiles.map((count) => count > 1)}`;
    if (cost < (best.get(kind)?.cost ?? Infinity)) best.set(kind, { plan, cost });
  }
  const sorted = [...best.values()].sort((a, b) => a.cost - b.cost);
  return sorted.slice(0, most).map(({ plan }) => plan);
}

function pictures([down, across]: readonly [Convolved, Convolved]): Plan[] {
  const counts = ({ result }: Convolved) =>
    Array.from({ length: Math.min(MOST_TILES, result) }, (_, i) => i + 1);
  return counts(down).flatMap((t1) =>
    counts(across).map((t2) => {
      const spans = [spanOf(down, t1), spanOf(across, t2)] as const;
      return { isLine: false, spans, tiles: [t1, t2], steps: spans.map(({ outputs }) => outputs) };
    }),
  );
}

/** An axis in `tiles` tiles of equal size. One tile reads the map as it is, without its padding. */
function spanOf({ size, taps, begin, end, result }: Convolved, tiles: number): Span {
  if (tiles === 1) {
    const points = even(size + Math.max(0, begin, end));
    return { points, inputs: size, outputs: result, skipped: begin };
  }
  const outputs = Math.ceil(result / tiles);
  const inputs = outputs + taps - 1;
  return { points: even(inputs), inputs, outputs, skipped: 0 };
}

const even = (x: number): number => 2 * Math.ceil(x / 2);

/** A line in tiles of T1 rows of T2 numbers, of which whole rows are outputs. */
function lines({ taps, result }: Convolved): Plan[] {
  const plans: Plan[] = [];
  for (let columns = 2; columns <= 64; columns *= 2) {
    for (let rows = 4; rows <= 256; rows += rows < 32 ? 2 : 8) {
      const kept = Math.floor((rows * columns - taps + 1) / columns);
      if (kept < 1 || (kept - 1) * columns >= result) continue;
      const step = kept * columns;
      const skipped = 0;
      plans.push({
        isLine: true,
        spans: [
          { points: rows, inputs: rows, outputs: kept, skipped },
          { points: columns, inputs: columns, outputs: columns, skipped },
        ],
        tiles: [Math.ceil(result / step)],
        steps: [step],
      });
    }
  }
  return plans;
}
