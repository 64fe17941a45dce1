/** @file Element types of outputs: what the schema says, and the operators whose attributes decide. */
import { type DType, dtypeOfCode, dtypes } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { type OpName, schemaOf } from "../schema.ts";
import type { PortSchema } from "../schema-table.ts";

type DTypeRule = (node: Node, output: number) => DType | null;

const fromCode = (node: Node, attribute: string): DType | null =>
  dtypeOfCode(node.int(attribute, 0)) ?? null;

const ofInput = (node: Node, index: number): DType | null => node.inputs[index]?.dtype ?? null;

/** The attribute if it is there, else the input's type, else the default. */
const chosen =
  (attribute: string, input: number | null, otherwise: DType | null = null): DTypeRule =>
  (node) =>
    fromCode(node, attribute) ?? (input === null ? null : ofInput(node, input)) ?? otherwise;

/** The type that a body returns. */
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

/** Null: unknown. Operators of other domains keep their first input's type, or their scale's. */
export function dtypeOf(node: Node, output: number): DType | null {
  if (node.domain !== "") return ofInput(node, node.op === "GatherBlockQuantized" ? 2 : 0);
  const schema = schemaOf(node.op);
  const port = schema && portAt(schema.outputs, output);
  if (!schema || !port) return null;
  const rule = Object.hasOwn(table, node.op) ? table[node.op] : undefined;
  if (rule) return rule(node, output);
  if (isDType(port.type)) return port.type;
  const twin = node.inputs.find(
    (input, i) => input?.dtype && portAt(schema.inputs, i)?.type === port.type,
  );
  const allowed = schema.types?.[port.type];
  return twin?.dtype ?? (allowed?.length === 1 ? allowed[0] : null);
}

function portAt(ports: readonly PortSchema[], index: number): PortSchema | undefined {
  const last = ports.at(-1);
  return ports[index] ?? (last?.variadic ? last : undefined);
}

function isDType(type: string): type is DType {
  return Object.hasOwn(dtypes, type);
}
