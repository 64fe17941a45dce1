/**
 * @file NumPy's .npy format, versions 1 to 3 (numpy.lib.format).
 *
 *   field    type              meaning
 *   magic    6 bytes           \x93NUMPY
 *   version  2 bytes           major, minor
 *   length   uint16 or uint32  bytes of the header; uint32 from version 2 on; little-endian
 *   header   text              a Python dict with descr, fortran_order and shape
 *   data     bytes             elements, row-major
 */
import { errors, fail } from "../errors.ts";
import { byteLengthOf, type DType } from "../ir/dtype.ts";
import type { ByteSource } from "../ir/tensor.ts";
import { product } from "../util/product.ts";
import type { StoredArray } from "./array-dataset.ts";
import { window } from "./zip.ts";

/** Element types by NumPy's codes, without the byte order. */
const types: Readonly<Record<string, DType>> = {
  f2: "float16",
  f4: "float32",
  f8: "float64",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  u1: "uint8",
  u2: "uint16",
  u4: "uint32",
  u8: "uint64",
  b1: "bool",
};

/**
 * Reads the header; the elements stay in `source`. Throws TersorError "bad-data" at `where` for
 * big-endian elements and arrays stored by columns, among others.
 */
export function readNpy(source: ByteSource, where: string): StoredArray {
  const bad = (why: string, remedy?: string) => fail(errors.badData(where, why, remedy));
  const start = source.read(0, Math.min(12, source.byteLength));
  const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
  if (start.length < 12 || magic.some((byte, i) => start[i] !== byte)) {
    throw bad("is not a .npy array");
  }
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  const wide = start[6] > 1;
  const offset = wide ? 12 : 10;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  if (offset + length > source.byteLength) throw bad("is cut short");
  const header = new TextDecoder().decode(source.read(offset, length));

  const [, descr] = /'descr':\s*'([^']*)'/.exec(header) ?? [];
  const [, tuple] = /'shape':\s*\(([^)]*)\)/.exec(header) ?? [];
  const dtype = types[descr?.slice(1)];
  if (!dtype || tuple === undefined || (descr[0] === ">" && !descr.endsWith("1"))) {
    const remedy = "Save little-endian numbers: np.save(file, array.astype('<f4'))";
    throw bad(`has elements of type ${descr ?? "unknown"}`, remedy);
  }
  const shape = tuple
    .split(",")
    .map((dim) => dim.trim())
    .filter(Boolean)
    .map(Number);
  if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) throw bad("has a bad shape");
  if (/'fortran_order':\s*True/.test(header) && shape.filter((dim) => dim > 1).length > 1) {
    throw bad("is stored by columns", "Save np.ascontiguousarray(array)");
  }
  const byteLength = byteLengthOf(dtype, product(shape));
  if (offset + length + byteLength > source.byteLength) throw bad("is cut short");
  return { dtype, shape, source: window(source, offset + length, byteLength) };
}
