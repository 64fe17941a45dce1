/** @file The command to go on with begins as the user's own did. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { programOf } from "../../src/cli/program.ts";

const cwd = "/home/me/project";
const tsx = "/home/me/project/node_modules/tsx/dist";
const loader = ["--require", `${tsx}/preflight.cjs`, "--import", `file://${tsx}/loader.mjs`];

test.each<[string, string, readonly string[], Record<string, string>]>([
  ["npx tersor", `${cwd}/node_modules/.bin/tersor`, [], { npm_command: "exec" }],
  ["npx tersor", "/home/me/.npm/_npx/0a1b/node_modules/.bin/tersor", [], {}],
  ["npx tersor", "C:\\me\\node_modules\\tersor\\dist\\cli\\main.js", [], {}],
  ["tersor", "/usr/local/bin/tersor", [], { PATH: "/usr/bin:/usr/local/bin" }],
  ["../bin/tersor", "/home/me/bin/tersor", [], { PATH: "/usr/bin" }],
  ["node dist/cli/main.js", join(cwd, "dist/cli/main.js"), [], { npm_command: "run-script" }],
  ["node /opt/tersor/dist/cli/main.js", "/opt/tersor/dist/cli/main.js", [], {}],
  ["node --import tsx src/cli/main.ts", `${cwd}/src/cli/main.ts`, ["--import", "tsx"], {}],
  ["npx tsx src/cli/main.ts", `${cwd}/src/cli/main.ts`, loader, {}],
  ["node '../my tools/main.js'", "/home/me/my tools/main.js", [], {}],
])("%s", (program, script, execArgv, env) => {
  expect(programOf({ script, execArgv, env, cwd })).toBe(program);
});
