/** @file The API bound to Node: onnxruntime-node where it is installed, files, sharp. */
import { createTersor } from "./api.ts";
import { saveFile } from "./node/files.ts";
import { nodePlatform } from "./node/platform.ts";

export * from "./index.ts";
export { nodePlatform } from "./node/platform.ts";

export const {
  load,
  compress,
  variants,
  train,
  survey,
  search,
  advise,
  openJob,
  inspect,
  evaluate,
  predict,
  onGpu,
  pack,
  bench,
  methods,
} = createTersor(nodePlatform, (path, bytes, inputs) =>
  saveFile(path, bytes, { inputs, overwrite: true }),
);
