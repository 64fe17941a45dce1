/** @file Brings a checkout into a state in which a command can run: packages, and with `build` also dist/ and tersor-out/. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const windows = process.platform === "win32";

/** When a file last changed; a missing one is older than any. */
const changed = (path) => (existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0);

/** The newest change in a folder; folders count too, so that a deleted file is noticed. */
function newest(folder) {
  let latest = changed(folder);
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : changed(path));
  }
  return latest;
}

/** Says what and why in one line, runs it, and says more only where it fails. */
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
if (changed(installed) < changed("package-lock.json")) {
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
