/** @file Reads AttributeProto into Attribute, and the tensor of a Constant node's attributes. */
import { type AttributeProto, AttributeProto_AttributeType as Type } from "onnx-buf";
import type { Attribute, Attributes } from "../ir/attribute.ts";
import type { Graph } from "../ir/graph.ts";
import { Tensor, tensor } from "../ir/tensor.ts";
import { densify } from "./sparse.ts";
import { decodeText, readTensor, type TensorContext } from "./tensor-proto.ts";

/** Reads the body of a node. */
type ReadBody = (proto: NonNullable<AttributeProto["g"]>) => Graph;

/**
 * The attributes of a node. `bound` has the attributes of the function call whose body the
 * node is in, for attributes that refer to them by `ref_attr_name`; one that the call does
 * not have is left out.
 */
export function readAttributes(
  protos: readonly AttributeProto[],
  bound: Attributes,
  tensors: TensorContext,
  readBody: ReadBody,
): Attributes {
  const attributes = new Map<string, Attribute>();
  for (const proto of protos) {
    const attribute = proto.refAttrName
      ? Object.hasOwn(bound, proto.refAttrName) && bound[proto.refAttrName]
      : readAttribute(proto, tensors, readBody);
    if (attribute) attributes.set(proto.name, attribute);
  }
  // Not by assignments, to which the name `__proto__` would be no property.
  return Object.fromEntries(attributes);
}

/** One attribute; "opaque" where its type or value has no other form. */
function readAttribute(
  proto: AttributeProto,
  tensors: TensorContext,
  readBody: ReadBody,
): Attribute {
  switch (proto.type || guessType(proto)) {
    case Type.FLOAT:
      return { type: "float", value: proto.f };
    case Type.INT:
      return { type: "int", value: Number(proto.i) };
    case Type.STRING: {
      // Some operators keep bytes in a string. What is not UTF-8 stays opaque.
      const value = decodeText(proto.s);
      if (value !== null) return { type: "string", value };
      break;
    }
    case Type.FLOATS:
      return { type: "floats", value: proto.floats };
    case Type.INTS:
      return { type: "ints", value: proto.ints.map(Number) };
    case Type.STRINGS: {
      const value = proto.strings.map(decodeText);
      if (!value.includes(null)) return { type: "strings", value: value as string[] };
      break;
    }
    case Type.TENSOR:
      if (proto.t) return { type: "tensor", value: readTensor(proto.t, tensors) };
      break;
    case Type.TENSORS:
      return { type: "tensors", value: proto.tensors.map((t) => readTensor(t, tensors)) };
    case Type.GRAPH:
      if (proto.g) return { type: "graph", value: readBody(proto.g) };
      break;
    case Type.GRAPHS:
      return { type: "graphs", value: proto.graphs.map(readBody) };
    case Type.SPARSE_TENSOR:
      if (proto.sparseTensor)
        return { type: "tensor", value: densify(proto.sparseTensor, tensors) };
      break;
  }
  return { type: "opaque", value: proto };
}

/** The type of an attribute in a file older than IR version 3, which does not store it. */
function guessType(proto: AttributeProto): Type {
  if (proto.floats.length > 0) return Type.FLOATS;
  if (proto.ints.length > 0) return Type.INTS;
  if (proto.strings.length > 0) return Type.STRINGS;
  if (proto.t) return Type.TENSOR;
  if (proto.g) return Type.GRAPH;
  if (proto.s.length > 0) return Type.STRING;
  return proto.f !== 0 ? Type.FLOAT : Type.INT;
}

/** The tensor of a Constant node, by its only attribute; null for forms that remain a node. */
export function constantOf(attributes: Attributes): Tensor | null {
  const [name] = Object.keys(attributes);
  const attribute = attributes[name];
  switch (attribute?.type) {
    case "tensor":
      return attribute.value;
    case "float":
      return tensor("float32", [], attribute.value);
    case "int":
      return tensor("int64", [], attribute.value);
    case "floats":
      return tensor("float32", [attribute.value.length], attribute.value);
    case "ints":
      return tensor("int64", [attribute.value.length], attribute.value);
    case "string":
      return new Tensor("string", [], () => new Uint8Array(0), [attribute.value]);
    case "strings":
      return new Tensor(
        "string",
        [attribute.value.length],
        () => new Uint8Array(0),
        attribute.value,
      );
    default:
      return null;
  }
}
