/** @file Prints a Model in ONNX's text form, as onnx.printer does: for people and golden tests. */
import type { Attribute } from "./attribute.ts";
import { dtypes } from "./dtype.ts";
import type { Dim, Graph, Node, Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { assignNames } from "./names.ts";
import type { Tensor } from "./tensor.ts";
import { isPrintable, quote, quoteName, typeName } from "./text.ts";

export interface PrintOptions {
  /** Tensors with more elements are printed as `{...}`, which parseModel refuses (default 16). */
  readonly elements?: number;
}

/**
 * Prints a model:
 *
 *   <ir_version: 10, opset_import: ["" : 21]> name (inputs) => (outputs) <constants> { nodes }
 */
export function printModel(model: Model, options: PrintOptions = {}): string {
  const imports = [["", model.opset] as const, ...model.domains];
  const head = [
    `ir_version: ${model.irVersion}`,
    `opset_import: [${imports.map(([domain, v]) => `${quote(domain)} : ${v}`).join(", ")}]`,
  ];
  if (model.producer) head.push(`producer_name: ${quote(model.producer)}`);
  if (model.metadata.size > 0) {
    const props = [...model.metadata].map(([key, value]) => `${quote(key)}: ${quote(value)}`);
    head.push(`metadata_props: [${props.join(", ")}]`);
  }
  return `<\n  ${head.join(",\n  ")}\n>\n${printGraph(model.graph, options)}\n`;
}

/**
 * Prints one graph with the bodies nested in it. Values have the names that the written file would
 * have.
 */
export function printGraph(root: Graph, { elements = 16 }: PrintOptions = {}): string {
  const names = assignNames(root);
  const nameOf = (value: Value | null): string => {
    const name = value ? (names.values.get(value) ?? "") : "";
    return name === "" ? '""' : quoteName(name);
  };

  function graphText(graph: Graph, indent: string): string {
    const inner = `${indent}  `;
    const constants = [...graph.constants].filter(({ uses, tensor }) => uses.size > 0 && tensor);
    const held = constants.map(
      (value) => `${typed(value)} = ${tensorValues(value.tensor as Tensor)}`,
    );
    const nodes = graph.sorted().map((node) => `${inner}${nodeText(node, inner)}\n`);
    return [
      `${quoteName(graph.name || "graph")} (${graph.inputs.map(typed).join(", ")})`,
      ` => (${graph.outputs.map(typed).join(", ")})`,
      held.length > 0 ? `\n${inner}<${held.join(`,\n${inner} `)}>\n${indent}` : " ",
      `{\n${nodes.join("")}${indent}}`,
    ].join("");
  }

  /** `float[N,3] x`, or the name alone where the type is not a known tensor type. */
  function typed(value: Value): string {
    const type = value.dtype && !value.opaqueType ? `${typeName(value.dtype)}` : "";
    return type ? `${type}${shapeText(value.shape)} ${nameOf(value)}` : nameOf(value);
  }

  function nodeText(node: Node, indent: string): string {
    const name = node.name === "" ? "" : `[${quoteName(names.nodes.get(node) ?? node.name)}] `;
    const outputs = node.outputs.map(nameOf).join(", ");
    const operator = node.domain ? `${node.domain}.${node.op}` : node.op;
    const inputs = `(${node.inputs.map(nameOf).join(", ")})`;
    const list = Object.entries(node.attributes)
      .map(([key, attribute]) => `${key}${attributeText(attribute, indent)}`)
      .join(", ");
    // The attributes stand after the inputs if one of them is a body, which may be long.
    const after = node.subgraphs.length > 0;
    const attributes = list === "" ? "" : ` <${list}>`;
    return `${name}${outputs} = ${operator}${after ? "" : attributes} ${inputs}${after ? attributes : ""}`;
  }

  function attributeText(attribute: Attribute, indent: string): string {
    switch (attribute.type) {
      case "opaque":
        return " = ?";
      case "floats":
      case "ints":
      case "strings":
      case "tensors":
      case "graphs": {
        // An empty list needs its type, because no element shows it.
        const items = attribute.value.map((item) => itemText(attribute.type, item, indent));
        return `${items.length === 0 ? `: ${attribute.type}` : ""} = [${items.join(", ")}]`;
      }
      default:
        return ` = ${itemText(attribute.type, attribute.value, indent)}`;
    }
  }

  function itemText(type: Attribute["type"], value: unknown, indent: string): string {
    switch (type) {
      case "float":
      case "floats":
        return floatText(value as number, true);
      case "string":
      case "strings":
        return quote(value as string);
      case "tensor":
      case "tensors": {
        const tensor = value as Tensor;
        return `${typeName(tensor.dtype)}${shapeText(tensor.shape)} ${tensorValues(tensor)}`;
      }
      case "graph":
      case "graphs":
        return graphText(value as Graph, indent);
      default:
        return intText(value as number);
    }
  }

  function tensorValues(tensor: Tensor): string {
    if (tensor.size > elements || !isPrintable(tensor.dtype)) return "{...}";
    return `{${elementTexts(tensor).join(", ")}}`;
  }

  return graphText(root, "");
}

/** The elements of a tensor. */
function elementTexts(tensor: Tensor): string[] {
  const { dtype } = tensor;
  if (tensor.strings) return tensor.strings.map(quote);
  if (dtype === "int64" || dtype === "uint64") {
    return Array.from(tensor.data() as BigInt64Array, String);
  }
  const numbers = Array.from(tensor.numbers());
  if (dtypes[dtype].kind !== "float") return numbers.map(String);
  if (dtype === "float64") return numbers.map((x) => specials(x) ?? String(x));
  return numbers.map((x) => floatText(x, dtype !== "float32"));
}

/** No brackets for a scalar, empty brackets for an unknown rank. */
function shapeText(shape: readonly Dim[] | null): string {
  if (!shape) return "[]";
  const dims = shape.map((dim) =>
    dim === null ? "?" : typeof dim === "number" ? `${dim}` : quoteName(dim),
  );
  return dims.length === 0 ? "" : `[${dims.join(",")}]`;
}

/** The shortest decimal that reads back as the same float32, with a point if `marked`. */
function floatText(x: number, marked: boolean): string {
  const special = specials(x);
  if (special) return special;
  let text = String(x);
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(x.toPrecision(digits));
    if (Math.fround(short) === Math.fround(x)) {
      text = String(short);
      break;
    }
  }
  return marked && /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/** The text of NaN, -0 and infinities; null for other numbers. */
function specials(x: number): string | null {
  if (Number.isNaN(x)) return "nan";
  if (Object.is(x, -0)) return "-0.0";
  return Math.abs(x) === Number.POSITIVE_INFINITY ? (x > 0 ? "inf" : "-inf") : null;
}

/** Ints at the limits of int64 were read as +-2^63 and are printed as the limits. */
function intText(x: number): string {
  if (x >= 2 ** 63) return "9223372036854775807";
  return x <= -(2 ** 63) ? "-9223372036854775808" : BigInt(x).toString();
}
