/**
 * @file The last axis: through which operators a matrix along it passes.
 *
 * An operator f carries a matrix M if f(x M) = f(x) M, where M multiplies each run of `block`
 * neighbours along the last axis: features of a token, or of each head of attention.
 */
import type { Node, Value } from "../ir/graph.ts";
import { entryOf, type OpTable } from "./table.ts";

/**
 * The inputs that have to be multiplied by M for the output to be; null if M does not pass. None
 * for operators that only tell sizes.
 */
type CarryRule = (node: Node, block: number) => readonly number[] | null;

const lastOf = (value: Value | null | undefined): number => {
  const last = value?.shape?.at(-1);
  return typeof last === "number" ? last : value?.shape?.length === 0 ? 1 : Number.NaN;
};
const isBlocked = (value: Value | null | undefined, block: number): boolean =>
  lastOf(value) % block === 0;
const rankOf = (value: Value | null | undefined): number => value?.shape?.length ?? Number.NaN;

/** The first input, if it and the output have the same blocks. */
const first: CarryRule = (node, block) =>
  isBlocked(node.inputs[0], block) && isBlocked(node.output, block) ? [0] : null;

/** The first input, if its last axis is that of the output, as `holds` says. */
const firstIf =
  (holds: (node: Node, rank: number) => boolean): CarryRule =>
  (node, block) =>
    holds(node, rankOf(node.inputs[0])) ? first(node, block) : null;

/** Constants in an input or, in old operator sets, an attribute; null if they are not known. */
const intsOf = (node: Node, index: number, name: string): number[] | null => {
  const tensor = node.inputs[index]?.tensor;
  return tensor ? Array.from(tensor.numbers()) : (node.ints(name)?.slice() ?? null);
};

/** Axes in an input that are all in front of the last one. */
const axesBefore =
  (index: number): CarryRule =>
  (node, block) => {
    const rank = Math.max(rankOf(node.inputs[0]), rankOf(node.output));
    const axes = intsOf(node, index, "axes");
    return axes?.every((axis) => (axis + rank) % rank !== rank - 1) ? first(node, block) : null;
  };

/** Sums: each term has the blocks, or is a constant that is broadcast along them. */
const sum: CarryRule = (node, block) => {
  const terms = node.inputs.flatMap((input, i) => (input ? [i] : []));
  const isTerm = (i: number): boolean => {
    const input = node.inputs[i];
    return lastOf(input) === lastOf(node.output) || (input?.tensor != null && lastOf(input) === 1);
  };
  return isBlocked(node.output, block) && terms.every(isTerm) ? terms : null;
};

/** x s with one s for all features of a token. */
const scaled =
  (sides: readonly number[]): CarryRule =>
  (node, block) => {
    const at = sides.find((i) => lastOf(node.inputs[1 - i]) === 1);
    const isWhole = at !== undefined && lastOf(node.inputs[at]) === lastOf(node.output);
    return isWhole && isBlocked(node.output, block) ? [at] : null;
  };

const rules: OpTable<CarryRule> = {
  Add: sum,
  Concat: (node, block) => {
    const rank = rankOf(node.output);
    return (node.int("axis", 0) + rank) % rank === rank - 1 ? null : sum(node, block);
  },
  Div: scaled([0]),
  Dropout: first,
  Expand: firstIf((node) => lastOf(node.inputs[0]) === lastOf(node.output)),
  Gather: firstIf((node, rank) => (node.int("axis", 0) + rank) % rank !== rank - 1),
  Identity: first,
  // P x, where P mixes positions: attention to values.
  MatMul: (node, block) =>
    rankOf(node.inputs[1]) >= 2 && isBlocked(node.inputs[1], block) ? [1] : null,
  Mul: scaled([0, 1]),
  ReduceMean: axesBefore(1),
  ReduceSum: axesBefore(1),
  Reshape: first,
  Shape: () => [],
  Slice: (node, block) => {
    const rank = rankOf(node.inputs[0]);
    const axes = intsOf(node, 3, "axes");
    return axes?.every((axis) => (axis + rank) % rank !== rank - 1) ? first(node, block) : null;
  },
  Squeeze: axesBefore(1),
  Sub: sum,
  Sum: sum,
  Transpose: firstIf((node, rank) => node.ints("perm")?.at(-1) === rank - 1),
  Unsqueeze: axesBefore(1),
  Where: (node, block) => {
    const isWhole = [1, 2].every((i) => lastOf(node.inputs[i]) === lastOf(node.output));
    return lastOf(node.inputs[0]) === 1 && isWhole && isBlocked(node.output, block) ? [1, 2] : null;
  },
};

/**
 * Which inputs of the node a matrix along the last axis, in blocks of `block`, has to multiply in
 * place of its output; null if it does not pass.
 */
export const carriesOf = (node: Node, block: number): readonly number[] | null =>
  entryOf(rules, node)?.(node, block) ?? null;

/**
 * Whether the node squares `x` element by element, only for sums or means along the last axis: these
 * depend on the lengths of vectors, which no rotation changes.
 */
export function isSquared(node: Node, x: Value): boolean {
  const [a, b] = node.inputs;
  const isSquare = entryOf(squares, node)?.(node) ?? (a === x && b === x && squaresItself(node));
  return isSquare && a === x && lengthsOf(node) !== null;
}

const squares: OpTable<(node: Node) => boolean> = {
  Pow: (node) => node.inputs[1]?.tensor?.size === 1 && node.inputs[1].tensor.numbers()[0] === 2,
};
const products: OpTable<true> = { Mul: true };
const squaresItself = (node: Node): boolean => entryOf(products, node) !== null;

/** The nodes that sum or average squares along the last axis; null if something else reads them. */
export function lengthsOf(square: Node): readonly Node[] | null {
  const readers = square.output.consumers;
  const isLength = (node: Node): boolean => {
    const axes = intsOf(node, 1, "axes");
    const rank = rankOf(square.output);
    const isLast = axes?.length === 1 && (axes[0] + rank) % rank === rank - 1;
    return isLast && entryOf(reductions, node) !== null;
  };
  return !square.output.isOutput && readers.length > 0 && readers.every(isLength) ? readers : null;
}

/** Whether the reduction divides by the number of features. */
export const isMean = (node: Node): boolean => entryOf(reductions, node) === "mean";

const reductions: OpTable<"mean" | "sum"> = { ReduceMean: "mean", ReduceSum: "sum" };

/** The input that states a size of the output, last axis last; null for other operators. */
export const sizeInputOf = (node: Node): number | null => entryOf(sized, node);

const sized: OpTable<number> = { Expand: 1, Reshape: 1 };
