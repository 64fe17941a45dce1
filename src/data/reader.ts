/** @file What every reader is given, and words they share. */
import { type DType, dtypes } from "../ir/dtype.ts";
import type { Platform } from "../platform.ts";
import type { Port } from "../runtime/runtime.ts";
import type { Dataset } from "./dataset.ts";
import type { DataOptions } from "./options.ts";

export interface ReadContext {
  /** As the user wrote it: the dataset's name, and where errors point. */
  readonly spec: string;
  /** The model's inputs. */
  readonly ports: readonly Port[];
  readonly options: DataOptions;
  readonly platform: Platform;
}

/** Opens what follows the prefix of a data specification. */
export type Reader = (path: string, context: ReadContext) => Promise<Dataset>;

/** `input float32 [N,3,32,32]` */
export function describePort({ name, dtype, dims }: Port): string {
  return `${name} ${dtype ?? "?"} ${describeDims(dims)}`;
}

export function describePorts(ports: readonly Port[]): string {
  return ports.map(describePort).join(", ");
}

export function describeDims(dims: readonly (number | string)[]): string {
  return `[${dims.map((dim) => dim || "?").join(",")}]`;
}

/** True for element types that hold whole numbers only. */
export function isInteger(dtype: Port["dtype"]): boolean {
  return dtype !== null && dtypes[dtype].kind === "int";
}

/** `dir:train` and `dir:test` name the halves that some formats keep side by side; test unless said. */
export function splitPart(path: string): { path: string; part: "train" | "test" } {
  const match = /^(.*):(train|test)$/.exec(path);
  return match ? { path: match[1], part: match[2] as "train" | "test" } : { path, part: "test" };
}

/** A path inside a folder. */
export function join(folder: string, name: string): string {
  return folder === "" || folder.endsWith("/") ? folder + name : `${folder}/${name}`;
}

/** A fixed dim; symbolic and unknown (-1, 0) ones are undefined. */
export function known(dim: number | string | undefined): number | undefined {
  return typeof dim === "number" && dim > 0 ? dim : undefined;
}

/** Whether an integer type has the value `x`. */
export function holds(dtype: DType, x: number): boolean {
  const { bits } = dtypes[dtype];
  const signed = dtype.startsWith("i");
  const top = dtype === "bool" ? 2 : 2 ** (signed ? bits - 1 : bits);
  return Number.isInteger(x) && x < top && x >= (signed ? -top : 0);
}

export function offsetLabels(labels: Int32Array, offset = 0): Int32Array {
  return offset === 0 ? labels : labels.map((label) => label + offset);
}
