import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The engine keeps its name, so that the server can take it from its own package. */
const output = {
  assetFileNames: ({ names }: { names: readonly string[] }) =>
    names.some((name) => name.endsWith(".wasm"))
      ? "assets/[name][extname]"
      : "assets/[name]-[hash][extname]",
};

/** `npm run build:studio`: a static page in dist/studio, which any server or folder can serve. */
export default defineConfig({
  root: at("."),
  base: "./",
  // The library as the package's "browser" entry, without a build of it before.
  resolve: { alias: [{ find: /^tersor$/, replacement: at("../src/web.ts") }] },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: { format: "es", rolldownOptions: { output } },
  build: {
    outDir: at("../dist/studio"),
    emptyOutDir: true,
    target: "es2023",
    modulePreload: { polyfill: false },
    rolldownOptions: { output },
    chunkSizeWarningLimit: 4000,
  },
});
