/** @file Typed patterns for trees of nodes: `match(op("Div", op("Mul", "x", "y"), 6), node)`. */
import { Graph, type Node, type Value } from "../ir/graph.ts";
import { type OpName, schemaOf } from "../ops/schema.ts";
import { broadcastScalarOf, scalarOf } from "./constants.ts";

/**
 * What an input must be. A name matches any value, and the same name must match the same value. A
 * number matches a constant of that value (within 1e-6, a few float32 roundings). "#name" matches
 * any scalar constant.
 */
export type Pattern = string | number | OpPattern<string> | Either<string>;

/** A node of this operator with these inputs and attributes. `names` exists only as a type. */
export interface OpPattern<K extends string> {
  readonly op: OpName;
  readonly inputs: readonly Pattern[];
  readonly attributes: Readonly<Record<string, number>>;
  readonly names?: K;
}

/** Several forms, any of which may match. */
interface Either<K extends string> {
  readonly either: readonly Pattern[];
  readonly names?: K;
}

/** The names in a pattern, as a union of strings. */
type NamesOf<P> = P extends string
  ? P
  : P extends { readonly names?: infer K extends string }
    ? K
    : never;

/** What each name matched: a number for "#name", otherwise a value. */
export type Match<K extends string> = Readonly<Record<Exclude<K, `#${string}`>, Value>> &
  Readonly<Record<Extract<K, `#${string}`>, number>>;

/** A pattern for a node of this operator. Inputs that are not listed must be absent. */
export function op<const P extends readonly Pattern[]>(
  name: OpName,
  ...inputs: P
): OpPattern<NamesOf<P[number]>> {
  return { op: name, inputs, attributes: {} };
}

/** The same with attributes, which must have the given values or have them as defaults. */
export function opWith<const P extends readonly Pattern[]>(
  name: OpName,
  attributes: Readonly<Record<string, number>>,
  ...inputs: P
): OpPattern<NamesOf<P[number]>> {
  return { op: name, inputs, attributes };
}

/** A pattern that tries several forms in order. */
export function either<const P extends readonly Pattern[]>(
  ...forms: P
): Either<NamesOf<P[number]>> {
  return { either: forms };
}

/** Operators whose two inputs may come in any order. */
const commutative: ReadonlySet<string> = new Set(["Add", "Mul"]);

/** What is matched so far: the values of names, and the nodes of the pattern. */
interface State {
  readonly bound: ReadonlyMap<string, Value | number>;
  readonly nodes: readonly Node[];
}

/**
 * What the names of the pattern matched at `root`, or null. Apart from the root's, the
 * outputs of all matched nodes must be read only within the pattern, so that replacing the
 * root leaves them unused.
 */
export function match<K extends string>(pattern: OpPattern<K>, root: Node): Match<K> | null {
  for (const { bound, nodes } of matchNode(pattern, root, { bound: new Map(), nodes: [] })) {
    if (nodes.every((node) => node === root || isInner(node, nodes))) {
      return Object.fromEntries(bound) as Match<K>;
    }
  }
  return null;
}

/** Whether only `nodes` read the node's outputs. */
function isInner(node: Node, nodes: readonly Node[]): boolean {
  return node.outputs.every((output) =>
    [...output.uses].every(({ user }) => !(user instanceof Graph) && nodes.includes(user)),
  );
}

/** All ways in which the pattern matches the node, starting from `state`. */
function* matchNode(pattern: OpPattern<string>, node: Node, state: State): Generator<State> {
  const { inputs } = node;
  if (node.op !== pattern.op || node.domain !== "" || inputs.length !== pattern.inputs.length)
    return;
  for (const [name, wanted] of Object.entries(pattern.attributes)) {
    const value = node.attributes[name]?.value ?? schemaOf(node.op)?.attributes[name]?.default;
    if (typeof value !== "number" || !near(value, wanted)) return;
  }
  const inside = { ...state, nodes: [...state.nodes, node] };
  yield* matchInputs(pattern.inputs, inputs, node, inside);
  if (commutative.has(node.op)) {
    yield* matchInputs(pattern.inputs, [inputs[1], inputs[0]], node, inside);
  }
}

function* matchInputs(
  patterns: readonly Pattern[],
  inputs: readonly (Value | null)[],
  node: Node,
  state: State,
): Generator<State> {
  if (patterns.length === 0) {
    yield state;
    return;
  }
  const [input] = inputs;
  if (!input) return;
  for (const next of matchValue(patterns[0], input, node, state)) {
    yield* matchInputs(patterns.slice(1), inputs.slice(1), node, next);
  }
}

function* matchValue(pattern: Pattern, value: Value, reader: Node, state: State): Generator<State> {
  if (typeof pattern === "number") {
    const scalar = operandScalar(value, reader);
    if (scalar !== undefined && near(scalar, pattern)) yield state;
  } else if (typeof pattern === "string") {
    const found = pattern.startsWith("#") ? operandScalar(value, reader) : value;
    const known = state.bound.get(pattern);
    if (found === undefined || (known !== undefined && known !== found)) return;
    yield { ...state, bound: new Map(state.bound).set(pattern, found) };
  } else if ("either" in pattern) {
    for (const form of pattern.either) yield* matchValue(form, value, reader, state);
  } else if (value.producer) {
    yield* matchNode(pattern, value.producer, state);
  }
}

/**
 * A scalar constant. As an operand of arithmetic it must not raise the rank of the other operand;
 * as a parameter of Clip it may have any shape of size 1.
 */
function operandScalar(value: Value, reader: Node): number | undefined {
  if (reader.op === "Clip") return scalarOf(value);
  return broadcastScalarOf(value, reader.inputs.find((input) => input && input !== value) ?? null);
}

function near(a: number, b: number): boolean {
  return a === b || Math.abs(a - b) <= 1e-6 * Math.abs(b);
}
