/** @file Writes the generated documents; with --check it only reports those that are stale. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { configSchema } from "../src/recipe/check.ts";
import { benchmarksPage, demoTable } from "./docs/benchmarks.ts";
import { cliPage } from "./docs/cli.ts";
import { cookbookPage } from "./docs/cookbook.ts";
import { errorsPage } from "./docs/errors.ts";
import { methodsPage } from "./docs/methods.ts";
import { metricsTable } from "./docs/metrics.ts";
import { inBlock } from "./docs/page.ts";
import { presetTable } from "./docs/presets.ts";
import { quantizationPage } from "./docs/quantization.ts";
import { rewritesPage } from "./docs/rewrites.ts";
import { targetsPage } from "./docs/targets.ts";

const root = new URL("../", import.meta.url);

/** The path of each generated file, and the function that gives its text. */
const pages: Readonly<Record<string, () => string | Promise<string>>> = {
  "README.md"() {
    const demo = readJson("bench/results/demo.json");
    const presets = readJson("bench/results/presets.json");
    const blocks: Readonly<Record<string, string | null>> = {
      example: example("compress.ts"),
      browser: example("browser/main.js"),
      demo: demo && demoTable(demo),
      presets: presets && presetTable(presets),
    };
    return Object.entries(blocks).reduce(
      (text, [name, content]) => (content ? inBlock(text, name, content) : text),
      read("README.md"),
    );
  },
  "docs/benchmarks.md": () => benchmarksPage((name) => readJson(`bench/results/${name}.json`)),
  "docs/cli.md": cliPage,
  "docs/cookbook.md": () => cookbookPage(readJson("bench/results/cookbook.json")),
  "docs/errors.md": () => errorsPage(`${read("src/errors.ts")}\n${read("src/errors-recipe.ts")}`),
  "docs/methods.md": methodsPage,
  "docs/own-method.md": () =>
    inBlock(
      inBlock(read("docs/own-method.md"), "example", example("own-method.ts")),
      "form",
      example("own-form.ts"),
    ),
  "docs/quantization.md": () =>
    quantizationPage({
      quantization: readJson("bench/results/quantization.json"),
      binary: readJson("bench/results/binary.json"),
      forms: readJson("bench/results/forms.json"),
      resnet20: readJson("bench/results/resnet20.json"),
    }),
  "docs/results.md": () =>
    inBlock(
      inBlock(read("docs/results.md"), "metrics", metricsTable()),
      "own-metric",
      example("own-metric.ts"),
    ),
  "docs/rewrites.md": rewritesPage,
  "docs/targets.md": () => targetsPage(readJson("bench/results/targets.json") ?? {}),
  "docs/tersor.config.schema.json": () => `${JSON.stringify(configSchema(), null, 2)}\n`,
  "src/version.ts": () => {
    const { version } = readJson("package.json");
    return `/** @file The version of tersor: that of package.json, written here by npm run docs. */\n\nexport const version = "${version}";\n`;
  },
};

/** The code of an example as a Markdown block, without its @file line. */
function example(name: string): string {
  const language = name.slice(name.lastIndexOf(".") + 1);
  return `\`\`\`${language}\n${read(`examples/${name}`).replace(/^.*@file.*\n/, "")}\`\`\``;
}

function read(path: string): string {
  const url = new URL(path, root);
  return existsSync(url) ? readFileSync(url, "utf8") : "";
}

/** The content of a JSON file; null if it is missing, because the bench has not been run yet. */
// biome-ignore lint/suspicious/noExplicitAny: each page says what it expects of its own file.
function readJson(path: string): any {
  const text = read(path);
  return text === "" ? null : JSON.parse(text);
}

const stale: string[] = [];
for (const [path, write] of Object.entries(pages)) {
  const text = await write();
  if (read(path) === text) continue;
  stale.push(path);
  if (!process.argv.includes("--check")) writeFileSync(new URL(path, root), text);
}
if (process.argv.includes("--check") && stale.length > 0) {
  console.error(`stale: ${stale.join(", ")}. Run: npm run docs`);
  process.exit(1);
}
console.log(stale.length > 0 ? `written: ${stale.join(", ")}` : "all documents are fresh");
