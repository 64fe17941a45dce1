/** @file What printing and parsing share: type names of ONNX's text form, and which names need quotes. */
import { type DType, dtypes } from "./dtype.ts";

/** ONNX's text form says float and double; the other names are ours. */
export function typeName(dtype: DType): string {
  return dtype === "float32" ? "float" : dtype === "float64" ? "double" : dtype;
}

const byName = new Map((Object.keys(dtypes) as DType[]).map((dtype) => [typeName(dtype), dtype]));

export function dtypeOfName(name: string): DType | undefined {
  return byName.get(name);
}

/** Element types whose values text can give: not complex numbers, nor 4-bit floats. */
export function isPrintable(dtype: DType): boolean {
  const { kind, bits } = dtypes[dtype];
  return kind !== "opaque" || bits === 8;
}

const identifier = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A name as it is, or in quotes where it is no identifier or would read as a type. */
export function quoteName(name: string): string {
  return identifier.test(name) && !byName.has(name) ? name : quote(name);
}

/** Only quotes and backslashes are escaped, as ONNX's own parser wants it; line breaks stay. */
export function quote(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
