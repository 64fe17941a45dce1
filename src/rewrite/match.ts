/** @file Typed patterns over trees of nodes: `match(op("Div", op("Mul", "x", "y"), 6), node)`. */
import { Graph, type Node, type Value } from "../ir/graph.ts";
import { type OpName, schemaOf } from "../ops/schema.ts";
import { broadcastScalarOf, scalarOf } from "./constants.ts";

/**
 * A name captures any value, and the same name the same value; a number is a constant of that value
 * (to 1e-6, a few float32 roundings); "#name" captures a scalar constant.
 */
export type Pattern = string | number | OpPattern<string> | Either<string>;

export interface OpPattern<K extends string> {
  readonly op: OpName;
  readonly inputs: readonly Pattern[];
  readonly attributes: Readonly<Record<string, number>>;
  readonly names?: K;
}

interface Either<K extends string> {
  readonly either: readonly Pattern[];
  readonly names?: K;
}

type NamesOf<P> = P extends string
  ? P
  : P extends { readonly names?: infer K extends string }
    ? K
    : never;

export type Match<K extends string> = Readonly<Record<Exclude<K, `#${string}`>, Value>> &
  Readonly<Record<Extract<K, `#${string}`>, number>>;

/** A node of this operator; inputs that the pattern does not list must be absent. */
export function op<const P extends readonly Pattern[]>(
  name: OpName,
  ...inputs: P
): OpPattern<NamesOf<P[number]>> {
  return { op: name, inputs, attributes: {} };
}

/** The same, with attributes of given values. */
export function opWith<const P extends readonly Pattern[]>(
  name: OpName,
  attributes: Readonly<Record<string, number>>,
  ...inputs: P
): OpPattern<NamesOf<P[number]>> {
  return { op: name, inputs, attributes };
}

/** The first of several forms that fits. */
export function either<const P extends readonly Pattern[]>(
  ...forms: P
): Either<NamesOf<P[number]>> {
  return { either: forms };
}

const commutative: ReadonlySet<string> = new Set(["Add", "Mul"]);

interface State {
  readonly bound: ReadonlyMap<string, Value | number>;
  readonly nodes: readonly Node[];
}

/**
 * What the pattern's names stand for at `root`, or null. Every node between the root and the
 * captured values must be read by the pattern alone, so that replacing the root frees them all.
 */
export function match<K extends string>(pattern: OpPattern<K>, root: Node): Match<K> | null {
  for (const { bound, nodes } of matchNode(pattern, root, { bound: new Map(), nodes: [] })) {
    if (nodes.every((node) => node === root || isInner(node, nodes))) {
      return Object.fromEntries(bound) as Match<K>;
    }
  }
  return null;
}

function isInner(node: Node, nodes: readonly Node[]): boolean {
  return node.outputs.every((output) =>
    [...output.uses].every(({ user }) => !(user instanceof Graph) && nodes.includes(user)),
  );
}

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

/** Operands of arithmetic must not raise the other one's rank; parameters (Clip's) may be any. */
function operandScalar(value: Value, reader: Node): number | undefined {
  if (reader.op === "Clip") return scalarOf(value);
  return broadcastScalarOf(value, reader.inputs.find((input) => input && input !== value) ?? null);
}

function near(a: number, b: number): boolean {
  return a === b || Math.abs(a - b) <= 1e-6 * Math.abs(b);
}
