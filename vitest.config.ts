import { configDefaults, defineConfig } from "vitest/config";

/** `vitest run` is `npm test`; `vitest run --mode long` is `npm run test:long`. */
export default defineConfig(({ mode }) => {
  const long = mode === "long";
  return {
    // Examples import the package by its name.
    resolve: { alias: { tersor: new URL("src/node.ts", import.meta.url).pathname } },
    test: {
      include: [long ? "test/long/**/*.test.ts" : "test/**/*.test.ts"],
      exclude: [...configDefaults.exclude, ...(long ? [] : ["test/long/**"])],
      testTimeout: long ? 600_000 : 60_000,
      // Opening sessions beside a busy neighbour takes longer than the 10 s that are usual.
      hookTimeout: 60_000,
      // Two engine sessions at a time: the machines we test on have two cores.
      maxWorkers: 2,
      // Modules are loaded once per worker, not once per file: half a minute less.
      isolate: false,
    },
  };
});
