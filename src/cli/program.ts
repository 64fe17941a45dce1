/** @file How the user called the program, so that a command to go on with can be copied. */
import { basename, delimiter, dirname, relative } from "node:path";
import { quoted } from "./shell.ts";

/** What a process knows of how it was started. */
export interface Started {
  /** The script's path, `process.argv[1]`; links are not resolved in it. */
  readonly script: string;
  /** The options of Node itself. */
  readonly execArgv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/** Scripts that npm has installed in a project or, for npx, in its cache. */
const installed = /[\\/]node_modules[\\/](\.bin[\\/]tersor|tersor[\\/]dist[\\/]cli[\\/]main\.js)$/;

/** "tersor", "npx tersor" or "node dist/cli/main.js". */
export function programOf({ script, execArgv, env, cwd }: Started): string {
  if (installed.test(script)) return "npx tersor";
  const near = relative(cwd, script);
  const path = near.startsWith(`..`) && near.length > script.length ? script : near;
  if (basename(script) === "tersor") {
    const isOnPath = (env.PATH ?? "").split(delimiter).includes(dirname(script));
    return isOnPath ? "tersor" : quoted(path);
  }
  if (execArgv.some((option) => /[\\/]tsx[\\/]dist[\\/]/.test(option))) {
    return `npx tsx ${quoted(path)}`;
  }
  return ["node", ...execArgv, path].map(quoted).join(" ");
}
