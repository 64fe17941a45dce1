/** @file `npm run check`: all checks that a commit has to pass, apart from the tests. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (path, ...parameters) => [process.execPath, [`node_modules/${path}`, ...parameters]];
const tsc = (project) => bin("typescript/bin/tsc", "-p", project, "--noEmit");
const tsx = (script, ...parameters) => bin("tsx/dist/cli.mjs", script, ...parameters);

/** The checks: what holds if it passes, and the command that checks it. */
const checks = {
  "format and lint": bin("@biomejs/biome/bin/biome", "ci", "--error-on-warnings"),
  "the core needs neither Node nor the DOM": tsc("tsconfig.core.json"),
  "types of all code": tsc("tsconfig.test.json"),
  "types of the studio": tsc("studio"),
  "generated documents are fresh": tsx("scripts/docs.ts", "--check"),
  "the lockfile is complete": ["npm", ["ci", "--dry-run", "--offline"]],
};

let failed = 0;
for (const [name, [command, parameters]] of Object.entries(checks)) {
  const began = performance.now();
  const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  try {
    const stdio = ["ignore", "pipe", "pipe"];
    execFileSync(command, parameters, { cwd: root, stdio, shell: process.platform === "win32" });
    console.log(`ok      ${name} (${seconds()})`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${name} (${seconds()})`);
    console.log(`${error.stdout ?? ""}${error.stderr ?? ""}`.trim() || error.message);
  }
}
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
