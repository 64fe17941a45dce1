/** @file Finds the form that builds an expression, and its parts, by comparing with `build`. */
import { errors, fail } from "../errors.ts";
import { type DType, dtypes } from "../ir/dtype.ts";
import { Graph, type Node, type Value } from "../ir/graph.ts";
import { sameAttributes, sameTensor } from "../ir/same.ts";
import { build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { inferNode } from "../ops/infer.ts";
import { storedInputOf } from "../ops/storage.ts";
import { product } from "../util/product.ts";
import { mistakeIn } from "./check-form.ts";
import type { Form, Shape } from "./form.ts";
import { forms } from "./forms/index.ts";

export interface Found {
  readonly form: Form;
  /** Where each part is computed or stored. */
  readonly parts: Readonly<Record<string, Value>>;
  /** The nodes that the form built, without those that compute its parts. */
  readonly nodes: ReadonlySet<Node>;
}

/** What was found so far while a pattern is compared. */
interface Trace {
  readonly parts: Map<string, Value>;
  readonly nodes: Set<Node>;
}

/** The nodes that a form builds, with placeholders for its parts. */
interface Pattern {
  readonly form: Form;
  readonly output: Value;
  readonly placeholders: ReadonlyMap<Value, string>;
  readonly nodes: number;
}

/**
 * The form that computes `value`, with its parts; null if no form does.
 *
 * The comparison has two steps. First the nodes must be those of an example of the form, whatever
 * their constants and attributes; this binds the parts. Then `build` is called with the shapes of
 * these parts, and must give the very nodes, constants and attributes. With `byType` nothing is
 * evaluated where inferred types and shapes tell enough.
 */
export function matchForm(value: Value, shape: Shape, byType = false): Found | null {
  const root = value.producer;
  if (!root) return null;
  for (const pattern of patterns()) {
    const node = pattern.output.producer as Node;
    if (node.op !== root.op || node.domain !== root.domain) continue;
    const trace: Trace = { parts: new Map(), nodes: new Set() };
    if (!same(pattern, pattern.output, value, trace, false)) continue;
    const { form } = pattern;
    if (fits(form, trace.parts, shape, byType) && isBuilt(form, trace, value, shape)) {
      const parts = Object.keys(form.theta).map((name) => [name, trace.parts.get(name) as Value]);
      return { form, parts: Object.fromEntries(parts), nodes: trace.nodes };
    }
  }
  return null;
}

let known: readonly Pattern[] | null = null;
const own: Form[] = [];

/**
 * Registers a form from outside the package: from then on its weights are read back from files, and
 * methods can store and train its parts. Throws TersorError "bad-usage" if its kind is taken or its
 * declaration has a mistake.
 */
export function addForm<const P extends string>(form: Form<P>): Form<P> {
  const taken = [...forms, ...own].some(({ kind }) => kind === form.kind);
  if (taken)
    throw fail(
      errors.badUsage("defineForm", `got a second form "${form.kind}"`, "Name it otherwise"),
    );
  const mistake = mistakeIn(form as unknown as Form);
  if (mistake) {
    const why = `got the form "${form.kind}", which ${mistake}`;
    throw fail(errors.badUsage("defineForm", why, "See docs/own-method.md"));
  }
  own.push(form as unknown as Form);
  known = null;
  return form;
}

/**
 * The patterns of all forms, those with most nodes first: the Gather of a codebook is also the last
 * node of a hashed weight.
 */
function patterns(): readonly Pattern[] {
  known ??= [...forms, ...own]
    .flatMap((form) => form.examples.map(({ shape, theta }) => patternOf(form, theta, shape)))
    .sort((a, b) => b.nodes - a.nodes);
  return known;
}

function patternOf(form: Form, theta: Readonly<Record<string, Shape>>, shape: Shape): Pattern {
  const graph = new Graph(form.kind);
  const inputs = Object.entries(form.theta).map(
    ([name, { dtype }]) => [name, graph.addInput(name, dtype, theta[name])] as const,
  );
  const output = form.build(build(graph, "", inferNode), Object.fromEntries(inputs), shape);
  const placeholders = new Map(inputs.map(([name, value]) => [value, name]));
  return { form, output, placeholders, nodes: graph.nodes.size };
}

/**
 * Whether the expression of `value` equals the pattern, binding placeholders on the way. With
 * `isExact` constants and attributes are compared too.
 */
function same(
  { placeholders }: Pick<Pattern, "placeholders">,
  pattern: Value,
  value: Value,
  trace: Trace,
  isExact: boolean,
): boolean {
  const { parts, nodes } = trace;
  const name = placeholders.get(pattern);
  if (name !== undefined) {
    const bound = parts.get(name);
    if (bound === undefined) parts.set(name, value);
    // A part may be read in several places, as one constant or as equal ones.
    return !bound || bound === value || (bound.tensor !== null && bound.tensor === value.tensor);
  }
  if (pattern.tensor) {
    const { tensor } = value;
    if (tensor?.dtype !== pattern.tensor.dtype) return false;
    return !isExact || sameTensor(pattern.tensor, tensor);
  }
  const [wanted, node] = [pattern.producer, value.producer];
  if (!wanted || !node || wanted.op !== node.op || wanted.domain !== node.domain) return false;
  if (wanted.outputs.indexOf(pattern) !== node.outputs.indexOf(value)) return false;
  if (isExact && !sameAttributes(wanted.attributes, node.attributes)) return false;
  if (wanted.inputs.length !== node.inputs.length) return false;
  nodes.add(node);
  return wanted.inputs.every((input, i) => {
    const other = node.inputs[i];
    if (!input || !other) return input === other;
    return same({ placeholders }, input, other, trace, isExact);
  });
}

/**
 * The types, ranges and sizes that the form declares. Whole numbers by their type are taken for in
 * range with `byType`; others are looked at one by one.
 */
function fits(
  form: Form,
  parts: ReadonlyMap<string, Value>,
  shape: Shape,
  byType: boolean,
): boolean {
  return Object.entries(form.theta).every(([name, part]) => {
    const value = parts.get(name) as Value;
    if (dtypeOf(value) !== part.dtype) return false;
    if (name === form.elements && product(shapeOf(value)) !== product(shape)) return false;
    if (!part.integers) return true;
    const [least, greatest] = part.integers;
    const stored = wholeTypeOf(value);
    if (stored && (byType || isWithin(stored, least, greatest))) return true;
    const folded = constantValue(value);
    const numbers = folded?.numbers() ?? [];
    for (let i = 0; i < numbers.length; i++) {
      const x = numbers[i];
      if (!(x >= least && x <= greatest && Number.isInteger(x))) return false;
    }
    return folded !== null;
  });
}

/** What inference knows, so that nothing has to be evaluated; else what evaluation gives. */
const dtypeOf = (value: Value): DType | null => value.dtype ?? constantValue(value)?.dtype ?? null;

export function shapeOf(value: Value): Shape {
  const { shape } = value;
  const isKnown = shape?.every((dim) => typeof dim === "number");
  return isKnown ? (shape as Shape) : (constantValue(value)?.shape ?? []);
}

/** The type of the numbers if it is one of integers, below any layout and Cast to floats; else null. */
function wholeTypeOf(value: Value): DType | null {
  const { dtype } = value;
  if (dtype !== null && dtypes[dtype].kind === "int") return dtype;
  const node = value.producer;
  const source = node && storedInputOf(node);
  const input = source === null ? null : node?.inputs[source];
  return input ? wholeTypeOf(input) : null;
}

/** Whether every number of an integer type lies in a range. Zeros that a layout adds do if 0 does. */
function isWithin(dtype: DType, least: number, greatest: number): boolean {
  const { bits } = dtypes[dtype];
  const [low, high] = dtype.startsWith("u")
    ? [0, 2 ** bits - 1]
    : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  return low >= least && high <= greatest && least <= 0 && greatest >= 0;
}

/** Whether `build`, called with the shapes that were found, gives exactly these nodes. */
function isBuilt(form: Form, { parts, nodes }: Trace, value: Value, shape: Shape): boolean {
  const shapes = [...parts].map(([name, at]) => [name, shapeOf(at)] as const);
  let again: Pattern;
  try {
    again = patternOf(form, Object.fromEntries(shapes), shape);
  } catch {
    return false; // `build` of a form from outside may refuse shapes that none of its weights has
  }
  return same(again, again.output, value, { parts: new Map(parts), nodes }, true);
}
