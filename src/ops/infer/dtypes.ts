/** @file Element types of outputs: by the schema, or by attributes where these decide. */
import { type DType, dtypeOfCode, dtypes } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { type OpName, schemaOf } from "../schema.ts";
import type { PortSchema } from "../schema-table.ts";

/** The type of one output; null if it is not known. */
type DTypeRule = (node: Node, output: number) => DType | null;

const fromCode = (node: Node, attribute: string): DType | null =>
  dtypeOfCode(node.int(attribute, 0)) ?? null;

const ofInput = (node: Node, index: number): DType | null => node.inputs[index]?.dtype ?? null;

/** The type named by an attribute, otherwise that of an input, otherwise a default. */
const chosen =
  (attribute: string, input: number | null, otherwise: DType | null = null): DTypeRule =>
  (node) =>
    fromCode(node, attribute) ?? (input === null ? null : ofInput(node, input)) ?? otherwise;

/** The type that a body returns; `skip` of its outputs come before those of the node. */
const returned =
  (attribute: string, skip: number): DTypeRule =>
  (node, output) => {
    const body = node.attributes[attribute];
    return body?.type === "graph" ? (body.value.outputs[output + skip]?.dtype ?? null) : null;
  };

const rules: { readonly [K in OpName]?: DTypeRule } = {
  Bernoulli: chosen("dtype", 0),
  BlackmanWindow: chosen("output_datatype", null, "float32"),
  Cast: chosen("to", null),
  ConstantOfShape: (node) => {
    const value = node.attributes.value;
    return value?.type === "tensor" ? value.value.dtype : "float32";
  },
  DequantizeLinear: chosen("output_dtype", 1),
  EyeLike: chosen("dtype", 0),
  HammingWindow: chosen("output_datatype", null, "float32"),
  HannWindow: chosen("output_datatype", null, "float32"),
  If: returned("then_branch", 0),
  LayerNormalization: (node, output) =>
    output === 0 ? ofInput(node, 0) : (dtypeOfCode(node.int("stash_type", 1)) ?? null),
  Loop: returned("body", 1),
  MelWeightMatrix: chosen("output_datatype", null, "float32"),
  Multinomial: chosen("dtype", null, "int32"),
  QuantizeLinear: chosen("output_dtype", 2, "uint8"),
  RandomNormal: chosen("dtype", null, "float32"),
  RandomNormalLike: chosen("dtype", 0),
  RandomUniform: chosen("dtype", null, "float32"),
  RandomUniformLike: chosen("dtype", 0),
  Scan: returned("body", 0),
};
const table: Readonly<Record<string, DTypeRule | undefined>> = rules;

/**
 * The element type of an output; null if it is not known. Operators of other domains keep the type
 * of their first input, or of their scale.
 */
export function dtypeOf(node: Node, output: number): DType | null {
  if (node.domain !== "") return ofInput(node, node.op === "GatherBlockQuantized" ? 2 : 0);
  const schema = schemaOf(node.op);
  const port = schema && portAt(schema.outputs, output);
  if (!schema || !port) return null;
  const rule = Object.hasOwn(table, node.op) ? table[node.op] : undefined;
  if (rule) return rule(node, output);
  if (isDType(port.type)) return port.type;
  // The output has the type of any input that the schema gives the same type variable.
  const twin = node.inputs.find(
    (input, i) => input?.dtype && portAt(schema.inputs, i)?.type === port.type,
  );
  const allowed = schema.types?.[port.type];
  return twin?.dtype ?? (allowed?.length === 1 ? allowed[0] : null);
}

/** The declaration of input or output `index`; the last one may stand for any number. */
function portAt(ports: readonly PortSchema[], index: number): PortSchema | undefined {
  const last = ports.at(-1);
  return ports[index] ?? (last?.variadic ? last : undefined);
}

function isDType(type: string): type is DType {
  return Object.hasOwn(dtypes, type);
}
