/** @file Merges two nodes in a row into one of the same kind. */
import type { Node, Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { isOp } from "../ops/table.ts";
import { intsOf, isFoldable, otherReaders, scalarOf } from "./constants.ts";
import { defineRule, type Rewritten } from "./rule.ts";

/** The merge of `before` and `node`, which alone reads the output of `before`. */
type Merge = (node: Node, before: Node, g: Builder) => Rewritten;

/** By the operator of the second node. */
const merges: Readonly<Record<string, Merge>> = {
  // Transpose(Transpose(x, p), q) -> Transpose(x, p[q])
  Transpose(node, before, g) {
    const outer = node.ints("perm");
    const inner = before.ints("perm");
    if (!isOp(before, "Transpose") || !outer || !inner) return null;
    const perm = outer.map((axis) => inner[axis]);
    const x = before.inputs[0] as Value;
    return perm.every((axis, i) => axis === i) ? x : g.Transpose(x, { perm });
  },
  // Reshape(Reshape(x, s), t) -> Reshape(x, t). Zeros in t would copy sizes of another shape.
  Reshape(node, before, g) {
    const shape = node.inputs[1];
    if (!reshaping.has(before.op) || node.int("allowzero", 0) !== 0) return null;
    if (!intsOf(shape)?.every((dim) => dim !== 0)) return null;
    return g.Reshape(before.inputs[0], shape);
  },
  // Clip(Clip(x, a, b), c, d) -> Clip(x, max(a, c), min(b, d)), where the ranges overlap
  Clip(node, before, g) {
    if (isOp(before, "Relu")) return clip(g, before, [0, Infinity], rangeOf(node));
    if (!isOp(before, "Clip")) return null;
    return clip(g, before, rangeOf(before), rangeOf(node));
  },
  // Relu(Clip(x, a, b)) -> Clip(x, max(a, 0), b)
  Relu(_, before, g) {
    return isOp(before, "Clip") ? clip(g, before, rangeOf(before), [0, Infinity]) : null;
  },
  Mul: arithmetic,
  Add: arithmetic,
  Sub: arithmetic,
  Div: arithmetic,
};

/** Operators that keep the order of elements. */
const reshaping: ReadonlySet<string> = new Set(["Reshape", "Flatten", "Squeeze", "Unsqueeze"]);

export const mergeNodes = defineRule({
  id: "merge-nodes",
  doc: "two Transposes, Reshapes, Clips, or constant multiplications and additions in a row -> one",
  roots: Object.keys(merges),
  apply(node, g) {
    const input = node.inputs.find((value) => value && !value.tensor);
    const before = input?.producer;
    if (!input || !before || before.graph !== node.graph || before.domain !== "") return null;
    if (before.outputs.length !== 1 || otherReaders(input, node)) return null;
    if (node.inputs.filter((value) => value === input).length !== 1) return null;
    return merges[node.op](node, before, g);
  },
});

type Range = readonly [number, number];

/** The limits of a Clip, or null where they are not constant. */
function rangeOf(node: Node): Range | null {
  const [, min, max] = node.inputs;
  const low = min ? scalarOf(min) : -Infinity;
  const high = max ? scalarOf(max) : Infinity;
  return low === undefined || high === undefined ? null : [low, high];
}

/** One Clip for two ranges, or null where they do not overlap. */
function clip(g: Builder, before: Node, a: Range | null, b: Range | null): Rewritten {
  const x = before.inputs[0] as Value;
  const dtype = x.dtype ?? before.output.dtype;
  if (!a || !b || (dtype !== "float32" && dtype !== "float64")) return null;
  const low = Math.max(a[0], b[0]);
  const high = Math.min(a[1], b[1]);
  if (low > high) return null;
  if (low === 0 && high === Infinity) return g.Relu(x);
  const bound = (limit: number, name: string): Value | null =>
    Number.isFinite(limit) ? g.constant([limit], { dtype, shape: [], name }) : null;
  return g.Clip(x, bound(low, "min"), bound(high, "max"));
}

/**
 * A chain of constant multiplications and additions, ((x a + b) c + d) ..., is x s + t. The rule
 * fold-constants computes s and t.
 */
function arithmetic(node: Node, _: Node, g: Builder): Rewritten {
  const terms = termsOf(node);
  const has = (kind: Term["kind"]): boolean => terms.some((term) => term.kind === kind);
  if (terms.length <= Number(has("Mul")) + Number(has("Add"))) return null;
  if (grows(terms)) return null;
  let [scale, shift]: (Value | null)[] = [null, null];
  for (const term of terms) {
    const value = termValue(g, term);
    if (term.kind === "Mul") {
      scale = scale ? g.Mul(scale, value) : value;
      shift = shift && g.Mul(shift, value);
    } else {
      shift = shift ? g.Add(shift, value) : value;
    }
  }
  const { x } = terms[0];
  const product = scale ? g.Mul(x, scale) : x;
  return shift ? g.Add(product, shift) : product;
}

/** The bytes that a node takes in the file, about. */
const nodeBytes = 512;

/**
 * Whether s and t would be larger than the constants of the chain, or would have to be broadcast
 * from several shapes.
 */
function grows(terms: readonly Term[]): boolean {
  const large = terms.filter(isLarge);
  if (new Set(large.map(({ constant }) => constant.tensor?.shape.join())).size > 1) return true;
  const scale = large.some(({ kind }) => kind === "Mul");
  const firstShift = terms.findIndex(({ kind }) => kind === "Add");
  const shift = firstShift >= 0 && terms.slice(firstShift).some(isLarge);
  const added = Number(scale) + Number(shift) - large.length;
  return added > 0 && (large[0]?.constant.tensor?.byteLength ?? 0) > nodeBytes;
}

/** One operation of a chain: x * constant or x + constant. */
interface Term {
  readonly x: Value;
  readonly constant: Value;
  readonly kind: "Mul" | "Add";
  /** Whether the constant is divided by or subtracted. */
  readonly inverse: boolean;
}

const isLarge = ({ constant }: Term): boolean => (constant.tensor?.size ?? 0) > 1;

/** The chain that ends in `node`, first term first. */
function termsOf(node: Node): readonly Term[] {
  const terms: Term[] = [];
  let last: Node | null = node;
  while (last) {
    const term = termOf(last);
    if (!term) break;
    terms.unshift(term);
    last = otherReaders(term.x, last) ? null : term.x.producer;
  }
  return terms;
}

/** The node as a term: x * c, x / c, x + c or x - c of floats; null for other nodes. */
function termOf(node: Node): Term | null {
  const [a, b] = node.inputs;
  const kind = Object.hasOwn(kinds, node.op) ? kinds[node.op] : undefined;
  if (!a || !b || !kind || node.domain !== "") return null;
  const inverse = node.op === "Div" || node.op === "Sub";
  if (isFoldable(b.tensor) && !a.tensor) return { x: a, constant: b, kind, inverse };
  if (isFoldable(a.tensor) && !b.tensor && !inverse) return { x: b, constant: a, kind, inverse };
  return null;
}

const kinds: Readonly<Record<string, Term["kind"] | undefined>> = {
  Mul: "Mul",
  Div: "Mul",
  Add: "Add",
  Sub: "Add",
};

/** The constant with which the term is a multiplication or an addition. */
function termValue(g: Builder, { constant, kind, inverse }: Term): Value {
  if (!inverse) return constant;
  if (kind === "Add") return g.Neg(constant);
  return g.Div(g.constant([1], { dtype: constant.dtype ?? "float32", shape: [] }), constant);
}
