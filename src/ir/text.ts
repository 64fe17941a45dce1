/**
 * @file What the printer and the parser share: type names of ONNX's text form, and which
 * names need quotes.
 */
import { type DType, dtypes } from "./dtype.ts";

/** The name of a type; only float and double differ from the names of DType. */
export function typeName(dtype: DType): string {
  return dtype === "float32" ? "float" : dtype === "float64" ? "double" : dtype;
}

const byName = new Map((Object.keys(dtypes) as DType[]).map((dtype) => [typeName(dtype), dtype]));

/** The type of a name, or undefined. */
export function dtypeOfName(name: string): DType | undefined {
  return byName.get(name);
}

/** Whether values of this type have a text form: not complex numbers nor 4-bit floats. */
export function isPrintable(dtype: DType): boolean {
  const { kind, bits } = dtypes[dtype];
  return kind !== "opaque" || bits === 8;
}

const identifier = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A name as it is, or in quotes where it is no identifier or is the name of a type. */
export function quoteName(name: string): string {
  return identifier.test(name) && !byName.has(name) ? name : quote(name);
}

/**
 * Text in quotes. Only quotes and backslashes are escaped, as ONNX's own parser requires;
 * line breaks are kept.
 */
export function quote(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
