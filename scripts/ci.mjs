/** @file `.ci/run`: tests, checks, a short survey; ends with `N passed, N failed, N skipped`. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const out = "tersor-out/ci";
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const count = { passed: 0, failed: 0, skipped: 0 };

/** Runs a command, whose output is shown, and returns whether it exits with 0. */
function run(command, ...parameters) {
  const began = performance.now();
  const shell = process.platform === "win32";
  const { status } = spawnSync(command, parameters, {
    stdio: ["ignore", "inherit", "inherit"],
    shell,
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`--- ${command} ${parameters.join(" ")}: exit ${status}, ${seconds} s\n`);
  return status === 0;
}

const report = `${out}/tests.json`;
const tested = run(
  "npm",
  "test",
  "--",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${report}`,
);
if (existsSync(report)) {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
    readFileSync(report, "utf8"),
  );
  count.passed += numPassedTests;
  count.failed += numFailedTests;
  count.skipped += numPendingTests + numTodoTests;
}
// A test file that cannot be loaded makes the run fail although no single test fails.
if (!tested && count.failed === 0) count.failed++;

count[run("npm", "run", "--silent", "check") ? "passed" : "failed"]++;

// The survey of `npm run demo` with a short budget. It needs a build, which the tests do not make
// because they run the TypeScript sources.
count[run("npm", "run", "--silent", "build") ? "passed" : "failed"]++;
const [, ...demo] = JSON.parse(readFileSync("package.json", "utf8")).scripts.demo.split(" && ");
const cut = demo.join(" && ").replace(/--budget \S+ -o \S+/, `--budget 20s -o ${out}/survey`);
const [node, ...parameters] = cut.split(" ");
const surveyed = run(node, ...parameters);
count[surveyed && existsSync(`${out}/survey/report.html`) ? "passed" : "failed"]++;

console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
process.exit(count.failed > 0 ? 1 : 0);
