/** @file The API bound to a browser or worker: onnxruntime-web, dropped files and URLs. */
import { createTersor } from "./api.ts";
import { createBrowserPlatform } from "./browser/platform.ts";

export { createBrowserPlatform } from "./browser/platform.ts";
export * from "./index.ts";

export const {
  load,
  compress,
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
} = createTersor(createBrowserPlatform());
