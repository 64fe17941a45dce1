/**
 * @file Places the nodes of a directed acyclic graph in rows, from top to bottom (Sugiyama, Tagawa
 * and Toda 1981): a row for each length of the longest path to a node, an order in each row that
 * avoids crossings, and columns that make edges short.
 */

/** A graph without cycles: how wide each node is, and edges as pairs of indices of nodes. */
export interface Flat {
  readonly widths: readonly number[];
  readonly edges: readonly (readonly [from: number, to: number])[];
}

/** A part of an edge, from the bottom of one row to the top of the next. */
export interface Segment {
  /** The node where the edge starts. */
  readonly from: number;
  /** The node where this part ends; -1 if it passes the next row on its way down. */
  readonly to: number;
  /** Centres of its upper and its lower end. */
  readonly x1: number;
  readonly x2: number;
}

export interface Row {
  /** Indices of nodes, from left to right. */
  readonly nodes: readonly number[];
  /** What leads from this row to the next. */
  readonly segments: readonly Segment[];
}

export interface Placed {
  readonly rows: readonly Row[];
  /** The centre of each node; 0 is the left border of all nodes. */
  readonly x: readonly number[];
  readonly width: number;
}

/** A node, or a place where the edges of `from` pass a row. Neighbours are in the adjacent rows. */
interface Spot {
  readonly node: number;
  readonly from: number;
  readonly width: number;
  readonly above: Spot[];
  readonly below: Spot[];
  /** Its place in its row, and its centre. */
  at: number;
  x: number;
}

/** Space between neighbours of a row, and the width of an edge that passes. */
const gap = 24;
const passing = 8;
/** How often rows are ordered, and how often columns are moved; more changed little. */
const sweeps = 6;

export function layered({ widths, edges }: Flat): Placed {
  const ranks = ranksOf(widths.length, edges);
  const rows = rowsOf(widths, edges, ranks);
  for (let i = 0; i < sweeps; i++) for (const row of inTurn(rows, i)) order(row, upward(i));
  for (const row of rows) align(row, () => null);
  for (let i = 0; i < 2 * sweeps; i++) for (const row of inTurn(rows, i)) align(row, centre(i));
  const spots = rows.flat();
  const left = Math.min(0, ...spots.map(({ x, width }) => x - width / 2));
  const x = new Array<number>(widths.length).fill(0);
  for (const spot of spots) {
    spot.x -= left;
    if (spot.node >= 0) x[spot.node] = spot.x;
  }
  return {
    x,
    width: Math.max(0, ...spots.map((spot) => spot.x + spot.width / 2)),
    rows: rows.map((row) => ({
      nodes: row.filter(({ node }) => node >= 0).map(({ node }) => node),
      segments: row.flatMap((upper) =>
        upper.below.map(({ node: to, x: x2 }) => ({ from: upper.from, to, x1: upper.x, x2 })),
      ),
    })),
  };
}

/**
 * The row of each node: the length of the longest path that leads to it. A node without inputs
 * stands above the first node that reads it. Throws RangeError for a cycle.
 */
export function ranksOf(count: number, edges: Flat["edges"]): number[] {
  const ranks = new Array<number>(count).fill(0);
  const open = new Array<number>(count).fill(0);
  const below: number[][] = Array.from({ length: count }, () => []);
  for (const [from, to] of edges) {
    below[from].push(to);
    open[to]++;
  }
  const isSource = open.map((inputs) => inputs === 0);
  const ready = [...isSource.keys()].filter((node) => isSource[node]);
  for (const node of ready) {
    for (const to of below[node]) {
      ranks[to] = Math.max(ranks[to], ranks[node] + 1);
      if (--open[to] === 0) ready.push(to);
    }
  }
  if (ready.length < count) throw new RangeError("the graph has a cycle");
  for (const node of ready) {
    if (!isSource[node] || below[node].length === 0) continue;
    ranks[node] = below[node].reduce((least, to) => Math.min(least, ranks[to] - 1), Infinity);
  }
  return ranks;
}

/** The spots of each row. All edges of a node share one chain of spots in the rows that they pass. */
function rowsOf(widths: readonly number[], edges: Flat["edges"], ranks: readonly number[]) {
  const rows: Spot[][] = Array.from({ length: 1 + Math.max(-1, ...ranks) }, () => []);
  const spot = (node: number, from: number, width: number, rank: number): Spot => {
    const made = { node, from, width, above: [], below: [], at: rows[rank].length, x: 0 };
    rows[rank].push(made);
    return made;
  };
  const nodes = widths.map((width, node) => spot(node, node, width, ranks[node]));
  const chains = new Map<number, Spot[]>();
  for (const [from, to] of edges) {
    const chain = chains.get(from) ?? [nodes[from]];
    chains.set(from, chain);
    for (let rank = ranks[from] + chain.length; rank < ranks[to]; rank++) {
      const next = spot(-1, from, passing, rank);
      join(chain[chain.length - 1], next);
      chain.push(next);
    }
    join(chain[ranks[to] - ranks[from] - 1], nodes[to]);
  }
  return rows;
}

function join(upper: Spot, lower: Spot): void {
  if (upper.below.includes(lower)) return;
  upper.below.push(lower);
  lower.above.push(upper);
}

/** Sweeps go down first, then up. */
const inTurn = (rows: Spot[][], sweep: number) => (sweep % 2 === 0 ? rows : [...rows].reverse());
const upward = (sweep: number) => (spot: Spot) => (sweep % 2 === 0 ? spot.above : spot.below);

/** Orders a row by the mean place of each spot's neighbours; a spot without any keeps its place. */
function order(row: Spot[], neighbours: (spot: Spot) => readonly Spot[]): void {
  const keys = new Map(
    row.map((spot) => [spot, mean(neighbours(spot), ({ at }) => at) ?? spot.at]),
  );
  row.sort((a, b) => (keys.get(a) as number) - (keys.get(b) as number));
  for (const [at, spot] of row.entries()) spot.at = at;
}

/** Where a spot would stand without the others of its row: below or above its neighbours. */
const centre = (sweep: number) => (spot: Spot) => mean(upward(sweep)(spot), ({ x }) => x);

/**
 * Moves the spots of a row as near as possible to where they are wanted, in their order and without
 * overlaps: the least squares of the distances, by merging neighbours that would overlap into blocks
 * (pool adjacent violators, Ayer et al. 1955).
 */
function align(row: readonly Spot[], wanted: (spot: Spot) => number | null): void {
  const blocks: { sum: number; count: number }[] = [];
  const offsets: number[] = [];
  let offset = 0;
  for (const [i, spot] of row.entries()) {
    if (i > 0) offset += (row[i - 1].width + spot.width) / 2 + gap;
    offsets.push(offset);
    let block = { sum: (wanted(spot) ?? spot.x) - offset, count: 1 };
    for (let last = blocks.at(-1); last; last = blocks.at(-1)) {
      if (last.sum / last.count < block.sum / block.count) break;
      block = { sum: last.sum + block.sum, count: last.count + block.count };
      blocks.pop();
    }
    blocks.push(block);
  }
  let i = 0;
  for (const { sum, count } of blocks) {
    for (const end = i + count; i < end; i++) row[i].x = sum / count + offsets[i];
  }
}

function mean(spots: readonly Spot[], of: (spot: Spot) => number): number | null {
  if (spots.length === 0) return null;
  return spots.reduce((sum, spot) => sum + of(spot), 0) / spots.length;
}
