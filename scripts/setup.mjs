/**
 * @file Prepares a checkout for a command: installs packages; with `build` also makes dist/, with
 * `studio` dist/studio/.
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const windows = process.platform === "win32";

/** Time of a file's last change; 0 for a missing file, which is then older than any. */
const changed = (path) => (existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0);

/** The latest change in a folder. Folders count too: their time changes when a file is deleted. */
function newest(folder) {
  let latest = changed(folder);
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : changed(path));
  }
  return latest;
}

/** Prints the reason in one line and runs the command; its output is only shown if it fails. */
function step(why, command, parameters) {
  console.error(`setup: ${why}`);
  try {
    const stdio = ["ignore", "pipe", "pipe"];
    execFileSync(command, parameters, { cwd: root, stdio, shell: windows && command === "npm" });
  } catch (error) {
    console.error(`${error.stdout ?? ""}${error.stderr ?? ""}`.trim() || error.message);
    console.error(`setup: "${command} ${parameters.join(" ")}" failed`);
    process.exit(1);
  }
}

/** npm writes this file when an install is complete. */
const installed = "node_modules/.package-lock.json";
/** A link leads to the packages of another checkout: npm ci would delete them there. */
const isLink = lstatSync(join(root, "node_modules"), { throwIfNoEntry: false })?.isSymbolicLink();
if (!isLink && changed(installed) < changed("package-lock.json")) {
  const why = existsSync(join(root, "node_modules"))
    ? "are older than package-lock.json"
    : "are missing";
  step(`the packages ${why}: npm ci (half a minute)`, "npm", ["ci"]);
  const now = new Date();
  utimesSync(join(root, installed), now, now);
}

if (process.argv.includes("build")) {
  mkdirSync(join(root, "tersor-out"), { recursive: true });
  const sources = Math.max(newest("src"), changed("tsconfig.json"), changed(installed));
  if (changed("dist/errors.js") < sources) {
    rmSync(join(root, "dist"), { recursive: true, force: true });
    const why = "dist/ is older than src/: tsc (some 15 seconds)";
    step(why, process.execPath, ["node_modules/typescript/bin/tsc"]);
  }
}

// The page that `tersor studio` serves is bundled from the sources of the library.
if (process.argv.includes("studio")) {
  const sources = Math.max(newest("src"), newest("studio"), changed(installed));
  if (changed("dist/studio/index.html") < sources) {
    const why = "dist/studio/ is older than its sources: vite (some 10 seconds)";
    const config = ["--config", "studio/vite.config.ts"];
    step(why, process.execPath, ["node_modules/vite/bin/vite.js", "build", "studio", ...config]);
  }
}
