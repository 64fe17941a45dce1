/** @file A command for every model of a pattern: `tersor compress 'models/*.onnx'`. */
import { basename, extname } from "node:path";
import { errors, fail, isAborted, TersorError } from "../errors.ts";
import { expandGlob } from "../node/expand-globs.ts";
import { plural } from "../report/format.ts";
import { jsonText } from "../report/json.ts";
import type { Shell } from "./shell.ts";

/**
 * Does `work` for each file that matches, and gives the exit status: 130 if it was interrupted, 2 if
 * a model could not be worked on, 1 if one missed a target, else 0. What is wrong with one model does
 * not keep the others. With --json one object is printed, `{ command, models }`, in which each model
 * has what the command prints for it alone, or its error.
 */
export async function eachModel(
  shell: Shell,
  command: string,
  pattern: string,
  work: (shell: Shell, path: string) => Promise<number>,
): Promise<number> {
  const paths = withoutProducts(expandGlob(pattern));
  const models: unknown[] = [];
  const failed: string[] = [];
  let worst = 0;
  for (const [i, path] of paths.entries()) {
    shell.note(`${i + 1} of ${paths.length}: ${path}`);
    const own: Shell = shell.json
      ? { ...shell, print: (text) => void models.push(JSON.parse(text)) }
      : shell;
    try {
      const status = await work(own, path);
      if (status === 130) return status;
      worst = Math.max(worst, status);
    } catch (error) {
      if (!(error instanceof TersorError) || isAborted(error)) throw error;
      const { code, where, what, remedy } = error;
      models.push({ model: { name: path }, error: { code, where, what, remedy } });
      failed.push(path);
      shell.warn(error.message);
    }
  }
  if (shell.json) shell.print(jsonText({ command, models }));
  if (failed.length === 0) return worst;
  shell.warn(`${plural(failed.length, "model")} of ${paths.length} failed: ${failed.join(", ")}`);
  return 2;
}

/** Refuses flags that name one file where there are several models. */
export function refuseForMany(pattern: string, flags: Readonly<Record<string, unknown>>): void {
  for (const [flag, value] of Object.entries(flags)) {
    if (value === undefined || value === false) continue;
    const what = `--${flag} is for one model`;
    throw fail(errors.badUsage(pattern, what, `Leave --${flag} out, or name one model`));
  }
}

/** The models without those that an earlier run made of others: a.fast.onnx beside a.onnx. */
function withoutProducts(paths: readonly string[]): string[] {
  const stem = (path: string): string => path.slice(0, -extname(path).length);
  const stems = new Set(paths.map(stem));
  return paths.filter((path) => {
    const parts = basename(path).split(".");
    const folder = path.slice(0, -basename(path).length);
    return !parts.some(
      (_, i) => i > 0 && i < parts.length - 1 && stems.has(folder + parts.slice(0, i).join(".")),
    );
  });
}
