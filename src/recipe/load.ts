/** @file Opens a model file: bytes, graph, identity. */
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import { readModel } from "../onnx/read.ts";
import { inferModel } from "../ops/infer.ts";
import type { Platform } from "../platform.ts";
import type { Source } from "../runtime/runtime.ts";

export interface Loaded {
  /** As the user named it. */
  readonly name: string;
  readonly model: Model;
  /** The file as it is, external data included: what the original is measured by. */
  readonly source: Source;
  readonly bytes: number;
  /** SHA-256 of the file, hex. */
  readonly hash: string;
}

/** Throws TersorError "no-such-file" and whatever `readModel` raises. */
export async function loadModel(path: string, platform: Platform): Promise<Loaded> {
  const bytes = await platform.files.read(path);
  const folder = path.replace(/[^/\\]*$/, "");
  const opened = new Set<string>();
  const model = readModel(bytes, {
    name: path,
    external(relative) {
      if (!platform.files.exists(folder + relative)) {
        throw fail(errors.missingExternal(path, relative));
      }
      const source = platform.files.source(folder + relative);
      opened.add(relative);
      return source;
    },
  });
  inferModel(model);
  const external = [...opened].map((relative) => {
    const file = platform.files.source(folder + relative);
    return { path: relative, data: file.read(0, file.byteLength) };
  });
  const source = external.length > 0 ? { bytes, external } : { bytes };
  const total = external.reduce((sum, { data }) => sum + data.byteLength, bytes.byteLength);
  return { name: path, model, source, bytes: total, hash: await sha256(bytes) };
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
