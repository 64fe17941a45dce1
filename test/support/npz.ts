/** @file Reads NumPy archives for tests, independently of src/data. */
import { readFileSync } from "node:fs";
import { unzipSync } from "fflate";
import type { DType } from "../../src/ir/dtype.ts";
import { rawTensor, type Tensor } from "../../src/ir/tensor.ts";

const dtypes: Record<string, DType> = {
  "<f4": "float32",
  "<f8": "float64",
  "<i8": "int64",
  "<i4": "int32",
  "|u1": "uint8",
  "|i1": "int8",
};

/** The arrays of an .npz file by name; Fortran order is not supported. */
export function readNpz(path: string): Record<string, Tensor> {
  const entries = Object.entries(unzipSync(new Uint8Array(readFileSync(path))));
  return Object.fromEntries(
    entries.map(([name, npy]) => [name.replace(/\.npy$/, ""), readNpy(npy)]),
  );
}

function readNpy(npy: Uint8Array): Tensor {
  const view = new DataView(npy.buffer, npy.byteOffset, npy.byteLength);
  const wide = npy[6] > 1;
  const start = wide ? 12 : 10;
  const end = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(npy.subarray(start, end));
  const descr = /'descr': '([^']+)'/.exec(header)![1];
  const shape = /'shape': \(([^)]*)\)/
    .exec(header)![1]
    .split(",")
    .filter((s) => s.trim())
    .map(Number);
  if (header.includes("'fortran_order': True")) throw new Error("Fortran order");
  return rawTensor(dtypes[descr], shape, npy.slice(end));
}
