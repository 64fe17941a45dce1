/**
 * @file Reads TensorProto into Tensor: raw bytes are viewed in place, typed fields are converted,
 * and external data is read when it is needed.
 */
import { TensorProto_DataLocation as Location, type TensorProto } from "onnx-buf";
import { errors, fail, TersorError } from "../errors.ts";
import { byteLengthOf, type DType, dtypeOfCode, dtypes } from "../ir/dtype.ts";
import { type ByteSource, type Load, rawTensor, Tensor, tensor } from "../ir/tensor.ts";
import { product } from "../util/product.ts";

/** Opens a file of external data by the relative path that the model gives. */
export type OpenExternal = (path: string) => ByteSource;

/** What reading a tensor needs from the model around it. */
export interface TensorContext {
  /** The model's name, for errors. */
  readonly where: string;
  readonly external: OpenExternal | null;
}

/** Reads a tensor. Throws TersorError "bad-tensor", "external-outside" or "missing-external". */
export function readTensor(proto: TensorProto, context: TensorContext): Tensor {
  const bad = (why: string): Error =>
    fail(errors.badTensor(`${context.where}: tensor "${proto.name}"`, why));
  const dtype = dtypeOfCode(proto.dataType);
  if (!dtype) throw bad(`has the unknown element type ${proto.dataType}`);
  const shape = proto.dims.map(Number);
  const size = product(shape);
  if (shape.some((dim) => dim < 0) || !Number.isSafeInteger(size)) {
    throw bad(`has the impossible shape [${shape.join(", ")}]`);
  }
  if (dtype === "string") return readStrings(proto, shape, size, bad);
  const expected = byteLengthOf(dtype, size);
  if (proto.dataLocation === Location.EXTERNAL) {
    return readExternal(proto, dtype, shape, expected, context, bad);
  }
  if (proto.rawData.byteLength > 0 || size === 0) {
    const bytes = proto.rawData;
    if (bytes.byteLength !== expected) {
      throw bad(`holds ${bytes.byteLength} bytes where its shape needs ${expected}`);
    }
    return rawTensor(dtype, shape, bytes);
  }
  return readFields(proto, dtype, shape, size, bad);
}

function readStrings(
  proto: TensorProto,
  shape: number[],
  size: number,
  bad: (why: string) => Error,
): Tensor {
  if (proto.stringData.length !== size) {
    throw bad(`holds ${proto.stringData.length} strings where its shape needs ${size}`);
  }
  const strings = proto.stringData.map(decodeText);
  if (strings.includes(null)) throw bad("holds text that is not UTF-8");
  return new Tensor("string", shape, () => new Uint8Array(0), strings as string[]);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of UTF-8 bytes; null where they are not UTF-8. No character is replaced or left out. */
export function decodeText(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** The typed fields of TensorProto that hold elements. */
type Field = "floatData" | "doubleData" | "int64Data" | "uint64Data" | "int32Data";
/** The field of each element type; int32_data for the types that are not listed. */
const fieldOf: { readonly [K in DType]?: Field } = {
  float32: "floatData",
  complex64: "floatData",
  float64: "doubleData",
  complex128: "doubleData",
  int64: "int64Data",
  uint32: "uint64Data",
  uint64: "uint64Data",
};

/** A tensor in a typed field, which has one number for each element or each packed byte. */
function readFields(
  proto: TensorProto,
  dtype: DType,
  shape: number[],
  size: number,
  bad: (why: string) => Error,
): Tensor {
  const fields: readonly (number | bigint)[] = proto[fieldOf[dtype] ?? "int32Data"];
  const { bits, kind } = dtypes[dtype];
  const perElement = dtype.startsWith("complex") ? 2 : bits < 8 ? bits / 8 : 1;
  const expected = Math.ceil(size * perElement);
  if (fields.length !== expected) {
    throw bad(`holds ${fields.length} values where its shape needs ${expected}`);
  }
  // int32_data holds 16-bit floats and opaque types as bit patterns, and packed types as whole
  // bytes.
  if (bits < 8) return rawTensor(dtype, shape, Uint8Array.from(fields as number[]));
  if (dtype === "float16" || dtype === "bfloat16") {
    return rawTensor(dtype, shape, new Uint8Array(Uint16Array.from(fields as number[]).buffer));
  }
  if (dtype === "complex64" || dtype === "complex128") {
    const Parts = dtype === "complex64" ? Float32Array : Float64Array;
    return rawTensor(dtype, shape, new Uint8Array(Parts.from(fields as number[]).buffer));
  }
  if (kind === "opaque") return rawTensor(dtype, shape, Uint8Array.from(fields as number[]));
  return tensor(dtype, shape, fields as number[]);
}

/** A tensor in external data. Its place in the file is checked now; its bytes are read later. */
function readExternal(
  proto: TensorProto,
  dtype: DType,
  shape: number[],
  expected: number,
  context: TensorContext,
  bad: (why: string) => Error,
): Tensor {
  const entries = new Map(proto.externalData.map(({ key, value }) => [key, value]));
  const path = entries.get("location") ?? "";
  const where = `${context.where}: tensor "${proto.name}"`;
  if (!isInside(path)) throw fail(errors.externalOutside(where, path));
  if (!context.external) throw fail(errors.missingExternal(where, path));
  const source = open(context.external, path, where);
  const offset = Number(entries.get("offset") ?? 0);
  const length = Number(entries.get("length") ?? expected);
  if (length !== expected)
    throw bad(`names ${length} external bytes where its shape needs ${expected}`);
  if (!(Number.isSafeInteger(offset) && offset >= 0) || offset + length > source.byteLength) {
    throw bad(`lies beyond the end of ${path} (${source.byteLength} bytes)`);
  }
  const load: Load = (part = length, from = 0, into) => source.read(offset + from, part, into);
  return new Tensor(dtype, shape, load, null, true);
}

function open(external: OpenExternal, path: string, where: string): ByteSource {
  try {
    return external(path);
  } catch (cause) {
    if (cause instanceof TersorError && cause.code !== "no-such-file") throw cause;
    throw fail(errors.missingExternal(where, path), cause);
  }
}

/**
 * Whether a path stays in the model's folder or below it. External data elsewhere is refused,
 * because a model must not be able to read any file of the machine.
 */
export function isInside(path: string): boolean {
  if (path === "" || /^([/\\]|[a-zA-Z]:)/.test(path) || path.includes("\0")) return false;
  let depth = 0;
  for (const part of path.split(/[/\\]/)) {
    if (part === "..") depth--;
    else if (part !== "." && part !== "") depth++;
    if (depth < 0) return false;
  }
  return depth > 0;
}
