/**
 * @file README.md as a new user follows it: the packed tarball in an empty folder, without access
 * to what onnxruntime-node would download, then the steps for the three kinds of models.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeClassifier, writeDetector, writeText } from "./readme-models.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const places: string[] = [];
afterAll(() => places.map((place) => rmSync(place, { recursive: true, force: true })));

/** A new folder with an empty package. */
function emptyPlace(): string {
  const place = mkdtempSync(join(tmpdir(), "tersor-readme-"));
  places.push(place);
  writeFileSync(join(place, "package.json"), '{ "type": "module", "private": true }');
  return place;
}

/**
 * Runs a line of README.md in a shell. The install script of onnxruntime-node uses this proxy for
 * its downloads, and nothing listens there; npm itself does not.
 */
function run(place: string, line: string): string {
  // Settings of the npm that runs this test, such as ignore-scripts, are not a new user's.
  const own = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  const env = { ...Object.fromEntries(own), GLOBAL_AGENT_HTTPS_PROXY: "http://127.0.0.1:9" };
  const { status, stdout, stderr } = spawnSync("sh", ["-c", line], {
    cwd: place,
    encoding: "utf8",
    env,
  });
  expect(status, `${line}\n${stdout}\n${stderr}`).toBe(0);
  return stdout;
}

/** The commands of the block of README.md behind this comment. */
function steps(kind: string): string[] {
  const [, block = ""] =
    new RegExp(`<!-- steps: ${kind} -->\\n\`\`\`sh\\n(.*?)\`\`\``, "s").exec(readme) ?? [];
  return block
    .split("\n")
    .map((line) => line.replace(/ {2,}#.*$/, "").trim())
    .filter(Boolean);
}

interface Doctor {
  readonly findings: readonly { readonly name: string; ok: boolean; remedy: string | null }[];
}
const native = (place: string) =>
  (JSON.parse(run(place, "npx tersor doctor --json")) as Doctor).findings.find(
    ({ name }) => name === "onnxruntime-node",
  )!;

let tarball = "";
let place = "";
beforeAll(async () => {
  execFileSync(process.execPath, ["scripts/setup.mjs", "build"], { cwd: root });
  const target = emptyPlace();
  execFileSync("npm", ["pack", "--silent", "--pack-destination", target], { cwd: root });
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  tarball = join(target, `tersor-${version}.tgz`);
  place = emptyPlace();
  const [, install] = /^(ONNXRUNTIME_NODE_INSTALL=skip npm install tersor)$/m.exec(readme)!;
  run(place, install.replace(/tersor$/, tarball));
  await writeClassifier(place);
  await writeDetector(place);
  writeText(place);
}, 600_000);

test("with the variable the native engine is there", () => {
  expect(native(place)).toMatchObject({ ok: true, remedy: null });
});

test("where its download failed, what doctor says brings it", () => {
  const other = emptyPlace();
  run(other, `npm install --no-audit --no-fund ${tarball}`);
  const { ok, remedy } = native(other);
  if (ok) return; // this npm runs no install scripts, or this system needs no download
  const [, command] = /^Run: (.*?) \(on Windows/.exec(remedy!)!;
  run(other, command);
  expect(native(other).ok).toBe(true);
});

describe("the steps for", () => {
  const size = (name: string) => statSync(join(place, name)).size;

  test("a classifier with labels", () => {
    const lines = steps("classifier");
    expect(lines.map((line) => line.split(" ")[2])).toEqual([
      "inspect",
      "compress",
      "eval",
      "survey",
    ]);
    const [inspect, compress, evaluate, survey] = lines;
    expect(run(place, inspect)).toContain("32x3x3x3");
    expect(run(place, compress)).toMatch(/accuracy 100\.00 -> 100\.00 %/);
    expect(run(place, evaluate)).toMatch(/accuracy +100\.00 %/);
    expect(readFileSync(join(place, "report.html"), "utf8")).toContain("./classifier.int8.onnx");
    run(place, survey.replace("--budget 2m", "--budget 15s --timing 300ms"));
    const page = readFileSync(join(place, "compared/report.html"), "utf8");
    const links = [...page.matchAll(/ href="\.\/([^"]+)"/g)].map(([, name]) => name);
    expect(links.length).toBeGreaterThan(2);
    for (const name of links)
      expect(existsSync(join(place, "compared", decodeURIComponent(name))), name).toBe(true);
  });

  test("a detector without labels", () => {
    const lines = steps("detector");
    expect(lines).toHaveLength(4);
    const said = lines.map((line) => run(place, line));
    expect(said[0]).toMatch(/quantize-int8 -> detector\.int8\.onnx/);
    expect(size("detector.int8.onnx")).toBeLessThan(0.5 * size("detector.onnx"));
    expect(said[2]).toMatch(/quantize-int8:except=/);
    expect(said[3]).toMatch(/detector\.int8\.onnx/);
  });

  test("a text model", () => {
    const lines = steps("text");
    expect(lines).toHaveLength(4);
    for (const line of lines) run(place, line);
    expect(size("text.int8.onnx")).toBeLessThan(0.5 * size("text.onnx"));
    expect(size("text.4bit.onnx")).toBeLessThan(size("text.int8.onnx"));
    expect(size("text.tersor")).toBeLessThan(size("text.4bit.onnx"));
  });
});
