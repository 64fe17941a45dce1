/** @file What every reader gets, and functions that readers share. */
import { type DType, dtypes } from "../ir/dtype.ts";
import type { Model } from "../ir/model.ts";
import type { Platform } from "../platform.ts";
import type { Port } from "../runtime/runtime.ts";
import { ignoreIndex } from "../util/ignore-index.ts";
import type { Dataset } from "./dataset.ts";
import type { DataOptions } from "./options.ts";

/** The model and the surroundings that data is opened for. */
export interface ReadContext {
  /** The specification as the user wrote it: the name of the dataset, and the place in errors. */
  readonly spec: string;
  /** The model's inputs. */
  readonly ports: readonly Port[];
  readonly options: DataOptions;
  readonly platform: Platform;
  /** The model, where its graph is known. */
  readonly model?: Model | null;
  /** Folders in which what belongs to the model may lie, such as its tokenizer. */
  readonly beside?: readonly string[];
}

/** Opens what follows the prefix of a specification. */
export type Reader = (path: string, context: ReadContext) => Promise<Dataset>;

/** An input as text: `input float32 [N,3,32,32]`. */
export function describePort({ name, dtype, dims }: Port): string {
  return `${name} ${dtype ?? "?"} ${describeDims(dims)}`;
}

export function describePorts(ports: readonly Port[]): string {
  return ports.map(describePort).join(", ");
}

export function describeDims(dims: readonly (number | string)[]): string {
  return `[${dims.map((dim) => dim || "?").join(",")}]`;
}

/** Whether the element type holds only whole numbers. */
export function isInteger(dtype: Port["dtype"]): boolean {
  return dtype !== null && dtypes[dtype].kind === "int";
}

/** Splits off `:train` or `:test`, the parts that some formats have; "test" by default. */
export function splitPart(path: string): { path: string; part: "train" | "test" } {
  const match = /^(.*):(train|test)$/.exec(path);
  return match ? { path: match[1], part: match[2] as "train" | "test" } : { path, part: "test" };
}

/** The path of `name` inside a folder. */
export function join(folder: string, name: string): string {
  return folder === "" || folder.endsWith("/") ? folder + name : `${folder}/${name}`;
}

/** Folders that are nested deeper are not read. */
const maxDepth = 8;

/** The paths of all files below a folder, relative to it and sorted; null if it is no folder. */
export async function filesBelow(
  folder: string,
  files: Platform["files"],
): Promise<string[] | null> {
  const paths: string[] = [];
  const walk = async (prefix: string, depth: number): Promise<boolean> => {
    const names = await files.list(join(folder, prefix));
    for (const name of names ?? []) {
      if (!name.endsWith("/")) paths.push(prefix + name);
      else if (depth < maxDepth) await walk(prefix + name, depth + 1);
    }
    return names !== null;
  };
  return (await walk("", 0)) ? paths.sort() : null;
}

/** A fixed dimension; undefined for symbolic and unknown ones (-1, 0). */
export function known(dim: number | string | undefined): number | undefined {
  return typeof dim === "number" && dim > 0 ? dim : undefined;
}

/** Whether an integer type can hold the value `x`. */
export function holds(dtype: DType, x: number): boolean {
  const { bits } = dtypes[dtype];
  const signed = dtype.startsWith("i");
  const top = dtype === "bool" ? 2 : 2 ** (signed ? bits - 1 : bits);
  return Number.isInteger(x) && x < top && x >= (signed ? -top : 0);
}

/** Labels moved by `offset`; padding stays what it is. */
export function offsetLabels(labels: Int32Array, offset = 0): Int32Array {
  if (offset === 0) return labels;
  return labels.map((label) => (label === ignoreIndex ? label : label + offset));
}
