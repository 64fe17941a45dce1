#!/usr/bin/env node
/** @file The entry point of the command line: the list of commands, exit statuses, signals. */
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { type ErrorInfo, isAborted, TersorError } from "../errors.ts";
import { printable } from "../report/format.ts";
import { jsonText } from "../report/json.ts";
import { adviseCommand } from "./advise.ts";
import { benchCommand } from "./bench.ts";
import { checkCommand } from "./check.ts";
import { type Command, dispatch } from "./command.ts";
import { completionCommand } from "./completion.ts";
import { compressCommand } from "./compress.ts";
import { doctorCommand } from "./doctor.ts";
import { evalCommand } from "./eval.ts";
import { inspectCommand } from "./inspect.ts";
import { methodsCommand } from "./methods.ts";
import { packCommand } from "./pack.ts";
import { programOf } from "./program.ts";
import { renumberCommand } from "./renumber.ts";
import { searchCommand } from "./search.ts";
import { commandLineOf, type Io } from "./shell.ts";
import { studioCommand } from "./studio.ts";
import { surveyCommand } from "./survey.ts";
import { trainCommand } from "./train.ts";
import { unpackCommand } from "./unpack.ts";
import { workerCommand } from "./worker.ts";

const own = [
  inspectCommand,
  compressCommand,
  surveyCommand,
  searchCommand,
  adviseCommand,
  evalCommand,
  trainCommand,
  benchCommand,
  packCommand,
  unpackCommand,
  renumberCommand,
  studioCommand,
  workerCommand,
  checkCommand,
  methodsCommand,
  doctorCommand,
] as readonly Command[];

const commands = [...own, completionCommand(own)];

/**
 * Runs the command line and resolves with the exit status: 0 done, 1 a target was missed (doctor:
 * no engine works), 2 bad usage or input, 70 a mistake in tersor, 130 interrupted.
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const { version, description } = createRequire(import.meta.url)("../../package.json") as {
    version: string;
    description: string;
  };
  try {
    return await dispatch(commands, argv, io, { version, description });
  } catch (error) {
    return explain(error, argv, io);
  }
}

/**
 * Prints an error as one line on stderr, with --json also as `{ error }` on stdout, and returns the
 * exit status for it.
 */
function explain(error: unknown, argv: readonly string[], io: Omit<Io, "signal">): number {
  if (io.env.TERSOR_DEBUG) io.stderr.write(`${(error as Error)?.stack}\n`);
  const isOurs = error instanceof TersorError;
  const { code, where, what, remedy } = isOurs ? error : mistake(error, argv);
  const line = isOurs ? error.message : `${what}. ${remedy}.`;
  io.stderr.write(`tersor: ${printable(line)}\n`);
  if (argv.includes("--json")) {
    io.stdout.write(jsonText({ error: { code, where, what, remedy } }));
  }
  if (!isOurs) return 70;
  return isAborted(error) ? 130 : 2;
}

/** What to say of an error that is no TersorError. */
function mistake(error: unknown, argv: readonly string[]): ErrorInfo {
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    code: "internal",
    where: commandLineOf(argv, {}),
    what: words.replace(/\s+/g, " "),
    remedy:
      "This is a mistake in tersor: please report it with the command and the output of TERSOR_DEBUG=1",
  };
}

/**
 * Two signals within so many milliseconds are one: Ctrl-C reaches all processes of the terminal, and
 * npm or npx, under which this one may run, hands it on as well.
 */
const sameSignalMs = 500;

/**
 * Runs this process' command line. The first Ctrl-C (or SIGTERM) sets the abort signal, which work
 * checks between its parts; the second one ends the process at once.
 */
async function runProcess(): Promise<void> {
  const controller = new AbortController();
  let firstAt = 0;
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, () => {
      if (!controller.signal.aborted) firstAt = performance.now();
      else if (performance.now() - firstAt > sameSignalMs) process.exit(130);
      controller.abort();
    });
  }
  // `tersor methods | head` closes the pipe before everything is written; that is no error.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(0);
      throw error;
    });
  }
  const { stdout, stderr, env, execArgv } = process;
  const argv = process.argv.slice(2);
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.on(event, (error) => process.exit(explain(error, argv, process)));
  }
  const status = await main(argv, {
    stdout,
    stderr,
    env,
    signal: controller.signal,
    program: programOf({ script: process.argv[1], execArgv, env, cwd: process.cwd() }),
  });
  // Wait until all text is written, then end the process even if work is left whose result is not
  // needed any more, such as a brotli coder after an error.
  await Promise.all(
    [stdout, stderr].map((stream) => new Promise((done) => stream.write("", done))),
  );
  process.exit(status);
}

const script = process.argv[1];
if (script && realpathSync(script) === fileURLToPath(import.meta.url)) await runProcess();
