/** @file Functions that name data of one kind for a program: images("photos/"), mnist("test"). */
import type { DataOptions } from "../data/options.ts";
import type { DataSource } from "./prepare.ts";

/**
 * A function that names data of one kind, such as `images("calib/", { mean: [0.5], std: [0.5] })`.
 */
const source =
  (prefix: string) =>
  (path: string, options: DataOptions = {}): DataSource => ({ spec: `${prefix}:${path}`, options });

export const images = source("images");
export const mnist = source("mnist") as (
  part: "train" | "test",
  options?: DataOptions,
) => DataSource;
export const idx = source("idx");
export const cifar = source("cifar");
export const npz = source("npz");
export const csv = source("csv");
export const jsonl = source("jsonl");
export const text = source("text");
export const wav = source("wav");
