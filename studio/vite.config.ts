import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The engine keeps its name, so that the server can take it from its own package. */
const output = {
  assetFileNames: ({ names }: { names: readonly string[] }) =>
    names.some((name) => name.endsWith(".wasm"))
      ? "assets/[name][extname]"
      : "assets/[name]-[hash][extname]",
};

/** Writes service-worker.js with the list of what was built, the worker and the engine included. */
const offline: Plugin = {
  name: "offline",
  apply: "build",
  closeBundle() {
    const folder = at("../dist/studio");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => statSync(join(folder, path)).isFile() && path !== "index.html")
      // The engine with WebGPU is twice as large as all the rest, and many browsers never load it.
      .filter((path) => !path.includes("asyncify"))
      .map((path) => `./${path.replaceAll("\\", "/")}`);
    const page = readFileSync(join(folder, "index.html"));
    const version = createHash("sha256").update(page).update(files.join()).digest("hex");
    const source = readFileSync(at("./service-worker.js"), "utf8")
      .replace("VERSION and FILES", "its version and the list of files")
      .replace("VERSION", version.slice(0, 12))
      .replace("FILES", JSON.stringify(["./", ...files]));
    writeFileSync(join(folder, "service-worker.js"), source);
  },
};

/** `npm run build:studio`: a static page in dist/studio, which any server or folder can serve. */
export default defineConfig({
  root: at("."),
  base: "./",
  // The library as the package's "browser" entry, without a build of it before.
  resolve: { alias: [{ find: /^tersor$/, replacement: at("../src/web.ts") }] },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [offline],
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
