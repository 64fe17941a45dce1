/** @file Gives ONNX Runtime a temporary folder for its trace, and reads the trace. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TraceFile } from "../runtime/ort-node.ts";

/** The engine adds a timestamp to the file's name; the trace is the only file in the folder. */
export const profileFiles: TraceFile = async (record) => {
  const folder = await mkdtemp(join(tmpdir(), "tersor-trace-"));
  try {
    await record(join(folder, "trace"));
    const [name] = await readdir(folder);
    return await readFile(join(folder, name), "utf8");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
