/** @file Guesses the shapes of inputs whose sizes a model leaves open, the likeliest first. */
import type { Port } from "../runtime/runtime.ts";

/** Sizes for open axes, under the axis' symbol ("N") or the input's name and the axis ("x.2"). */
export type Dims = Readonly<Record<string, number>>;

/** One shape per input, by name. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

/** Open axes that must be of one size. */
interface Group {
  /** The sizes to try, the likeliest first; one if the user gave it. */
  readonly sizes: readonly number[];
  readonly isGiven: boolean;
  /** One of the axes is the first of its input. */
  readonly isBatch: boolean;
  /** One of the axes is the first input's. */
  readonly isFirst: boolean;
  /** The axes are those of caches of keys and values, which may be empty. */
  readonly isCache: boolean;
  /** For a size that is the sum of others, such as "past + 1": the terms. */
  readonly terms: readonly string[] | null;
}

/**
 * Sizes that are tried for all open axes at once, and for those of the first input. A size of 1 comes
 * last, because it goes with every other: sizes that must agree would not be found.
 */
const common = [32, 64, 224, 16, 8, 128, 48, 320, 512, 576];

/** The usual sizes of a side of a picture: of most networks, detectors, Inception, small networks. */
const pictures = [224, 256, 320, 640, 299, 192, 128, 96, 64, 48, 32, 28, 16, 8];
const tokens = [128, 64, 32, 16, 8, 4, 256, 512];
/** Samples of a wave (Silero VAD takes 576 at a time), or features. */
const waves = [512, 576, 1024, 4000, 16000, 128, 64, 32, 16, 8, 4];
const maps = [64, 32, 128, 16, 8, 4, 224];
const volumes = [16, 32, 8, 4, 64];

/** A [N, C, H, W] or [N, H, W, C] of 1, 3 or 4 channels. */
const isPicture = (shape: readonly (number | string)[]): boolean =>
  shape.length === 4 && [shape[1], shape[3]].some((size) => [1, 3, 4].includes(Number(size)));

/** The likely sizes of an axis that is not the batch. `shape` has the forced sizes filled in. */
function likelySizes({ dtype }: Port, shape: readonly (number | string)[]): readonly number[] {
  if (isPicture(shape)) return pictures;
  if (shape.length === 3 || /^u?int(32|64)$/.test(dtype ?? "")) return tokens;
  return shape.length > 4 ? volumes : shape.length === 4 ? maps : waves;
}

/** An open axis of an input. */
interface Axis {
  readonly port: Port;
  readonly index: number;
  /** Its symbol; "" if it has none. */
  readonly symbol: string;
  /** The size that the graph forces, or the name of its group. */
  readonly root: number | string;
  readonly given: number | null;
}

/**
 * Shapes to try in turn. `axes` holds for each open axis ("x.2") its size, or the name of the group
 * of axes that must agree; `dims` are sizes that the user gave, each of which holds for its group.
 * At first every group gets its own likeliest size. Then all get the same one, because groups may
 * have to agree for reasons that nothing tells; then their next sizes. Then caches are empty, or
 * only the first input has the size (states and masks have 1), or the batch has it as well.
 */
export function* guessShapes(
  ports: readonly Port[],
  axes: ReadonlyMap<string, number | string>,
  dims: Dims,
): Generator<Shapes> {
  const open = ports.map((port) => openAxes(port, axes, dims));
  const groups = groupsOf(open.flat(), ports[0]);
  const rootOf = new Map(open.flat().map(({ symbol, root }) => [symbol, root]));
  const tried = new Set<string>();
  for (const choose of choices([...groups.values()])) {
    /** Terms of terms are not followed: two sums could be terms of each other. */
    const sizeOf = (root: number | string, isTerm = false): number => {
      const group = typeof root === "string" ? groups.get(root) : null;
      if (!group) return Number(root);
      const terms = isTerm || group.isGiven ? null : group.terms;
      const sizes = terms?.map((term) => sizeOf(rootOf.get(term) ?? term, true));
      return sizes?.reduce((sum, size) => sum + size, 0) ?? choose(group);
    };
    const shapes = Object.fromEntries(
      ports.map(({ name, dims }, i) => {
        const sizes = new Map(
          open[i].map(({ index, root, given }) => [index, given ?? sizeOf(root)]),
        );
        return [name, dims.map((dim, index) => sizes.get(index) ?? Number(dim))];
      }),
    );
    const key = JSON.stringify(shapes);
    if (!tried.has(key)) yield shapes;
    tried.add(key);
  }
}

function openAxes(port: Port, axes: ReadonlyMap<string, number | string>, dims: Dims): Axis[] {
  const own = (key: string): number | null => (Object.hasOwn(dims, key) ? dims[key] : null);
  return port.dims.flatMap((dim, index) => {
    if (typeof dim === "number" && dim > 0) return [];
    const symbol = typeof dim === "string" ? dim : "";
    const key = `${port.name}.${index}`;
    const root = axes.get(key) ?? (symbol || key);
    return [{ port, index, symbol, root, given: own(key) ?? own(symbol) }];
  });
}

function groupsOf(all: readonly Axis[], first: Port | undefined): Map<string, Group> {
  const roots = new Set(all.map(({ root }) => root).filter((root) => typeof root === "string"));
  const symbols = new Map(all.map(({ symbol, root }) => [symbol, root]));
  const groups = new Map<string, Group>();
  for (const root of roots) {
    const members = all.filter((axis) => axis.root === root);
    const given = members.find((axis) => axis.given !== null)?.given ?? null;
    const isBatch = members.some(({ index }) => index === 0);
    const [{ port }] = members;
    const shape = port.dims.map(
      (dim, index) =>
        all.find((axis) => axis.port === port && axis.index === index && axis.root !== root)
          ?.root ?? dim,
    );
    groups.set(root, {
      sizes: given !== null ? [given] : isBatch ? [1] : likelySizes(port, shape),
      isGiven: given !== null,
      isBatch,
      isFirst: members.some((axis) => axis.port === first),
      isCache: members.every(({ port }) => port.dims.length === 4 && port !== first),
      terms: members.map((axis) => termsOf(axis, symbols)).find((terms) => terms !== null) ?? null,
    });
  }
  return groups;
}

/** The terms of a symbol such as "past + 1" if all are numbers or symbols of other groups. */
function termsOf({ symbol, root }: Axis, symbols: ReadonlyMap<string, unknown>): string[] | null {
  const terms = symbol.split("+").map((term) => term.trim());
  const isKnown = (term: string): boolean =>
    /^\d+$/.test(term) || (symbols.has(term) && symbols.get(term) !== root);
  return terms.length > 1 && terms.every(isKnown) ? terms : null;
}

type Choose = (group: Group) => number;

function* choices(groups: readonly Group[]): Generator<Choose> {
  const open = groups.filter(({ isGiven, isBatch }) => !isGiven && !isBatch);
  const own =
    (i: number): Choose =>
    ({ sizes }) =>
      sizes[Math.min(i, sizes.length - 1)];
  const longest = Math.max(1, ...open.map(({ sizes }) => sizes.length));
  const all = Array.from({ length: longest }, (_, i) => own(i));
  // Groups of one kind, such as height and width, have equal sizes all along their lists.
  yield* new Set(open.map(({ sizes }) => sizes)).size > 1 ? all.slice(0, 1) : all;
  const others = (choose: (group: Group, size: number) => number): Choose[] =>
    common.map((size) => (group) => (open.includes(group) ? choose(group, size) : group.sizes[0]));
  yield* others((_, size) => size);
  yield* all;
  yield* others(({ isCache }, size) => (isCache ? 0 : size));
  yield* others(({ isFirst }, size) => (isFirst ? size : 1));
  yield* [...common, 1].map(
    (size): Choose =>
      (group) =>
        group.isGiven ? group.sizes[0] : size,
  );
}
