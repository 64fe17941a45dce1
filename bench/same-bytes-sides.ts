/** @file The two sides of bench/same-bytes.ts: a worktree of the base, a process for each, rows that are kept. */
import { execFileSync, fork } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Job, Listed, ModelJob, Row } from "./same-bytes-plan.ts";

const top = new URL("../", import.meta.url);
const child = fileURLToPath(new URL("same-bytes-child.ts", import.meta.url));

/** Gone when the process ends, however it does; git first takes its worktree out of it. */
const scratch = mkdtempSync(join(tmpdir(), "tersor-same-bytes-"));
let worktree: string | null = null;
process.once("exit", () => {
  if (worktree) git("worktree", "remove", "--force", worktree);
  rmSync(scratch, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

/** One version of the code. */
export interface Side {
  readonly name: "base" | "tree";
  readonly commit: string;
  readonly root: string;
}

export function git(...args: readonly string[]): string {
  return execFileSync("git", args, { cwd: top, encoding: "utf8" }).trim();
}

export function openTree(): Side {
  const changed = git("status", "--porcelain", "--", "src", "test/support") !== "";
  const commit = git("rev-parse", "HEAD") + (changed ? " and changes" : "");
  return { name: "tree", commit, root: top.href };
}

/** With the dependencies of the working tree; gone when the process ends. */
export function openBase(revision: string): Side {
  const commit = git("rev-parse", "--verify", `${revision}^{commit}`);
  const folder = join(scratch, "base");
  git("worktree", "add", "--quiet", "--detach", folder, commit);
  worktree = folder;
  symlinkSync(fileURLToPath(new URL("../shared", top)), join(scratch, "shared"), "dir");
  symlinkSync(fileURLToPath(new URL("node_modules", top)), join(folder, "node_modules"), "dir");
  return { name: "base", commit, root: `${pathToFileURL(folder).href}/` };
}

/** A folder for products, below what is removed at the end. */
export function folderFor(name: string): string {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  return `${pathToFileURL(folder).href}/`;
}

/** Settings of every method that a side has. */
export async function settingsOf(side: Side): Promise<Listed> {
  let listed: Listed = { plain: [], training: [] };
  await run({ root: side.root, keep: null, models: null }, (message) => {
    listed = message.listed ?? listed;
  });
  return listed;
}

/** Rows of all the recipes, in order; `keep`: URL of a folder for the products. */
export async function rowsOf(
  { name, root }: Side,
  models: readonly ModelJob[],
  { keep = null, onRow }: { keep?: string | null; onRow?: (row: Row) => void } = {},
): Promise<Row[]> {
  const rows: Row[] = [];
  const began = performance.now();
  const total = models.reduce((sum, { recipes }) => sum + recipes.length, 0);
  await run({ root, keep, models }, ({ row }) => {
    if (!row) return;
    rows.push(row);
    onRow?.(row);
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    const text = `${name} ${rows.length}/${total}, ${seconds} s: ${row.model} ${row.recipe}`;
    // One line that is written over, where somebody looks; a line for each model elsewhere.
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text.slice(0, 100)}`);
    else if (models.some((m) => m.name === row.model && m.recipes.at(-1) === row.recipe))
      process.stderr.write(`${text}\n`);
  });
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  if (rows.length < total) throw new Error(`${name}: ${rows.length} of ${total} recipes came back`);
  return rows;
}

/** `done` comes last: nothing of the others is lost then. */
interface Message {
  readonly listed?: Listed;
  readonly row?: Row;
  readonly done?: true;
}

function run(job: Job, onMessage: (message: Message) => void): Promise<void> {
  const file = join(scratch, "job.json");
  writeFileSync(file, JSON.stringify(job));
  return new Promise((resolve, reject) => {
    const process = fork(child, [file], { stdio: ["ignore", 2, 2, "ipc"] });
    process.on("message", (message) => onMessage(message as Message));
    process.on("error", reject);
    process.on("exit", (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`the child ended with ${code ?? signal}`)),
    );
  });
}

/**
 * A commit's rows do not change: those of earlier runs are read from bench/.cache. Returns them, in the
 * plan's order, and how many were run now.
 */
export async function cachedRows(
  side: Side,
  models: readonly ModelJob[],
  about: readonly unknown[],
): Promise<{ readonly rows: readonly Row[]; readonly fresh: number }> {
  const parts = [side.commit, process.version, ...about, readFileSync(child, "utf8")];
  const lock = readFileSync(new URL("package-lock.json", top), "utf8");
  const key = createHash("sha256")
    .update(JSON.stringify([parts, lock]))
    .digest("hex");
  const folder = new URL("bench/.cache/", top);
  const file = new URL(`same-bytes-${key.slice(0, 16)}.json`, folder);
  const known: Record<string, Row> = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  const keyOf = ({ name, bytes, shapes, records }: ModelJob, recipe: string): string =>
    JSON.stringify([name, bytes, shapes, records, recipe]);
  const left = models
    .map((m) => ({ ...m, recipes: m.recipes.filter((recipe) => !known[keyOf(m, recipe)]) }))
    .filter(({ recipes }) => recipes.length > 0);
  // However the process ends: a run that is interrupted goes on where it was.
  process.once("exit", () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, JSON.stringify(known));
  });
  const onRow = (row: Row): void => {
    known[keyOf(models.find(({ name }) => name === row.model) as ModelJob, row.recipe)] = row;
  };
  const made = left.length > 0 ? await rowsOf(side, left, { onRow }) : [];
  const rows = models.flatMap((m) => m.recipes.map((recipe) => known[keyOf(m, recipe)]));
  return { rows, fresh: made.length };
}
