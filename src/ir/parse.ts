/**
 * @file Parses ONNX's text form into a Model, as onnx.parser does, for models that are small enough
 * to be read and written by hand.
 */
import { createRandom } from "../numeric/random.ts";
import { product } from "../util/product.ts";
import type { Attribute, AttributeType } from "./attribute.ts";
import { type DType, dtypes } from "./dtype.ts";
import { type Dim, Graph, Value } from "./graph.ts";
import { createModel, type Model } from "./model.ts";
import { createScanner, type Scanner } from "./scan.ts";
import { rawTensor, Tensor, tensor } from "./tensor.ts";
import { dtypeOfName, isPrintable, quote } from "./text.ts";

/**
 * Parses a model in the text that `printModel` and onnx.printer write. Functions, sequences and
 * tensors whose values were left out are not supported.
 *
 * 16-bit floats are decimals with a point; onnx.parser refuses these and takes bit patterns
 * instead. Beyond ONNX, `float[8,4] w = random(3)` fills a tensor with normal values from
 * the seed 3, divided by the square root of the number of elements per row. The order of
 * nodes is the order of execution. Operator sets are not converted. Throws TersorError
 * "bad-text" with line and column.
 */
export function parseModel(text: string, options: { readonly name?: string } = {}): Model {
  const scan = createScanner(text, options.name ?? "text");
  const model = createModel(new Graph("graph"), 21);
  model.producer = "";
  if (scan.skip("<")) parseHead(scan, model);
  model.graph.name = scan.name();
  parseGraph(scan, model.graph, null);
  if (!scan.end()) throw scan.reject("the model ends before this");
  return model;
}

/** What stands between `<` and `>` before the graph's name. */
function parseHead(scan: Scanner, model: Model): void {
  while (!scan.skip(">")) {
    const key = scan.word();
    scan.expect(":");
    if (key === "opset_import") {
      for (const [domain, version] of scan.list("[", "]", () => pair(scan, () => scan.number()))) {
        if (domain === "" || domain === "ai.onnx") model.opset = Number(version);
        else model.domains.set(domain, Number(version));
      }
    } else if (key === "metadata_props") {
      for (const [name, value] of scan.list("[", "]", () => pair(scan, () => scan.text()))) {
        model.metadata.set(name, value);
      }
    } else {
      const value = scan.maybeText() ?? scan.number();
      if (key === "ir_version") model.irVersion = Number(value);
      if (key === "producer_name") model.producer = value;
    }
    scan.skip(",");
  }
}

function pair(scan: Scanner, value: () => string): [string, string] {
  const key = scan.text();
  scan.expect(":");
  return [key, value()];
}

/** The visible names: those of the graph, then those of the enclosing graphs. */
interface Scope {
  readonly graph: Graph;
  readonly values: Map<string, Value>;
  readonly outer: Scope | null;
}

/** A declared value; the type may be left out. */
interface Declared {
  readonly name: string;
  readonly type: Type | null;
}

interface Type {
  readonly dtype: DType;
  readonly shape: readonly Dim[] | null;
}

/** What follows a graph's name: inputs, outputs, constants and nodes. */
function parseGraph(scan: Scanner, graph: Graph, outer: Scope | null): Graph {
  const scope: Scope = { graph, values: new Map(), outer };
  const define = (value: Value): Value => {
    if (scope.values.has(value.name)) throw scan.reject(`${quote(value.name)} is produced twice`);
    scope.values.set(value.name, value);
    return value;
  };
  const inner: Declared[] = [];
  for (const { name, type } of scan.list("(", ")", () => parseDeclared(scan))) {
    define(graph.addInput(name, type?.dtype ?? null, type?.shape ?? null));
  }
  scan.expect("=>");
  const outputs = scan.list("(", ")", () => parseDeclared(scan));
  if (scan.skip("<")) {
    while (!scan.skip(">")) {
      const declared = parseDeclared(scan);
      const { name, type } = declared;
      if (!scan.skip("=")) inner.push(declared);
      else if (!type) throw scan.reject(`${quote(name)} has values but no type`);
      else define(graph.addConstant(name, parseElements(scan, type)));
      scan.skip(",");
    }
  }
  scan.expect("{");
  while (!scan.skip("}")) parseNode(scan, scope, define);
  for (const { name, type } of [...inner, ...outputs]) {
    const value = scope.values.get(name);
    if (value && !value.tensor && type) Object.assign(value, type);
  }
  graph.setOutputs(outputs.map(({ name }) => find(scan, scope, name)));
  return graph;
}

/** The value of a name in this scope or an enclosing one. */
function find(scan: Scanner, scope: Scope, name: string): Value {
  for (let s: Scope | null = scope; s; s = s.outer) {
    const value = s.values.get(name);
    if (value) return value;
  }
  throw scan.reject(`nothing produces ${quote(name)}`);
}

/** `float[N,3] x`, or the name alone. */
function parseDeclared(scan: Scanner): Declared {
  const word = scan.peekWord();
  const type = word && dtypeOfName(word) ? parseType(scan) : null;
  const name = scan.name();
  if (!type && scan.sees("(")) throw scan.reject(`${name} types have no text form here`);
  return { name, type };
}

/** `float` is a scalar, `float[]` has an unknown rank, and `?` is an unknown size. */
function parseType(scan: Scanner): Type {
  const word = scan.word();
  const dtype = dtypeOfName(word);
  if (!dtype) throw scan.reject(`${quote(word)} is not an element type`);
  if (!scan.skip("[")) return { dtype, shape: [] };
  const shape: Dim[] = [];
  while (!scan.skip("]")) {
    if (shape.length > 0) scan.expect(",");
    if (scan.skip("?")) shape.push(null);
    else shape.push(scan.maybeName() ?? scan.size());
  }
  return { dtype, shape: shape.length > 0 ? shape : null };
}

/** `[name] output, output = domain.Op <attributes> (input, input) <attributes>`. */
function parseNode(scan: Scanner, scope: Scope, define: (value: Value) => Value): void {
  const [name = ""] = scan.skip("[") ? [scan.name(), scan.expect("]")] : [];
  const outputs: string[] = [];
  while (!scan.skip("=")) {
    if (outputs.length > 0) scan.expect(",");
    outputs.push(scan.maybeName() ?? "");
  }
  const path = [scan.name()];
  while (scan.skip(".")) path.push(scan.word());
  const before = parseAttributes(scan, scope);
  const inputs: (Value | null)[] = [];
  scan.expect("(");
  while (!scan.skip(")")) {
    const input = scan.maybeName() ?? "";
    inputs.push(input === "" ? null : find(scan, scope, input));
    if (!scan.skip(",")) {
      scan.expect(")");
      break;
    }
  }
  const attributes = { ...before, ...parseAttributes(scan, scope) };
  const { graph } = scope;
  graph.add(path.at(-1) as string, inputs, {
    name,
    domain: path.slice(0, -1).join("."),
    attributes,
    outputs: outputs.map((o) => (o === "" ? new Value(graph, "") : define(graph.addValue(o)))),
  });
}

function parseAttributes(scan: Scanner, scope: Scope): Record<string, Attribute> {
  const attributes = new Map<string, Attribute>();
  if (!scan.skip("<")) return {};
  while (!scan.skip(">")) {
    const name = scan.name();
    const type = scan.skip(":") ? (scan.word() as AttributeType) : null;
    scan.expect("=");
    attributes.set(name, parseAttribute(scan, scope, type));
    scan.skip(",");
  }
  return Object.fromEntries(attributes);
}

const plurals = { float: "floats", int: "ints", string: "strings", tensor: "tensors" } as const;

/** The types whose value is a list. */
const lists: readonly AttributeType[] = [...Object.values(plurals), "graphs"];

/** The type follows from the value, unless it is given (`: floats = []`, `: float = 1`). */
function parseAttribute(scan: Scanner, scope: Scope, type: AttributeType | null): Attribute {
  if (!scan.skip("[")) {
    const item = parseItem(scan, scope);
    return type === "float" ? ({ type, value: item.value } as Attribute) : item;
  }
  const items: Attribute[] = [];
  while (!scan.skip("]")) {
    if (items.length > 0) scan.expect(",");
    items.push(parseItem(scan, scope));
  }
  if (type && !lists.includes(type)) throw scan.reject(`${quote(type)} is not a list's type`);
  const single = items.some((item) => item.type === "float") ? "float" : items[0]?.type;
  const plural =
    type ?? (single === "graph" ? "graphs" : plurals[(single ?? "") as keyof typeof plurals]);
  if (!plural) throw scan.reject("an empty list needs its type, as in `axes: ints = []`");
  return { type: plural, value: items.map(({ value }) => value) } as Attribute;
}

function parseItem(scan: Scanner, scope: Scope): Attribute {
  const number = scan.maybeNumber();
  if (number !== null) {
    return integer.test(number)
      ? { type: "int", value: Number(number) }
      : { type: "float", value: Math.fround(decimal(number)) };
  }
  const text = scan.maybeText();
  if (text !== null && !scan.sees("(")) return { type: "string", value: text };
  const word = scan.peekWord();
  if (word && dtypeOfName(word)) {
    const type = parseType(scan);
    // A tensor may have a name here, which has no meaning.
    scan.maybeName();
    scan.skip("=");
    return { type: "tensor", value: parseElements(scan, type) };
  }
  if (text === null && !word) throw scan.reject("an attribute's value is expected here");
  return { type: "graph", value: parseGraph(scan, new Graph(text ?? scan.word()), scope) };
}

const integer = /^[-+]?\d+$/;

function decimal(text: string): number {
  if (text.endsWith("inf")) return text[0] === "-" ? -Infinity : Infinity;
  return text.endsWith("nan") ? Number.NaN : Number(text);
}

/** `{1, 2.5}` or `random(seed)`. */
function parseElements(scan: Scanner, { dtype, shape }: Type): Tensor {
  const dims = shape ?? [0];
  if (!dims.every((dim) => typeof dim === "number")) {
    throw scan.reject("a tensor's dimensions are numbers");
  }
  const size = product(dims);
  if (scan.peekWord() === "random") {
    scan.word();
    scan.expect("(");
    const seed = Number(scan.number());
    scan.expect(")");
    if (dtypes[dtype].kind !== "float") throw scan.reject("only floats are drawn at random");
    if (size > 2 ** 24) throw scan.reject("that many values are not drawn for a text");
    const random = createRandom(seed);
    const spread = 1 / Math.sqrt(dims.length > 0 ? size / dims[0] : 1);
    return tensor(
      dtype,
      dims,
      Float64Array.from({ length: size }, () => random.normal() * spread),
    );
  }
  const elements = scan.list("{", "}", () => {
    if (scan.skip("...")) throw scan.reject("the tensor's values were left out of this text");
    return dtype === "string" ? scan.text() : scan.number();
  });
  if (elements.length !== size) {
    throw scan.reject(`${elements.length} values are given for ${size} elements`);
  }
  if (dtype === "string") return new Tensor(dtype, dims, () => new Uint8Array(0), elements);
  if (!isPrintable(dtype)) throw scan.reject(`${dtype} values have no text form`);
  if (dtypes[dtype].kind !== "float") {
    const wrong = elements.find((element) => !integer.test(element));
    if (wrong !== undefined) throw scan.reject(`${wrong} is not a whole number`);
  }
  if (dtypes[dtype].bits === 16 && dtypes[dtype].kind === "float") {
    // onnx.parser reads whole numbers as bit patterns here, so that 1 would mean 6e-8. They are
    // refused, because a reader would take them for values.
    const bare = elements.find((element) => integer.test(element));
    if (bare !== undefined) throw scan.reject(`${dtype} values have a point, as in ${bare}.0`);
  }
  if (dtype === "int64") return tensor(dtype, dims, BigInt64Array.from(elements.map(BigInt)));
  if (dtype === "uint64") return tensor(dtype, dims, BigUint64Array.from(elements.map(BigInt)));
  if (dtypes[dtype].kind === "opaque") {
    return rawTensor(dtype, dims, Uint8Array.from(elements, Number));
  }
  return tensor(dtype, dims, elements.map(decimal));
}
