/** @file Shell: output to the terminal, and the flags that all commands share. */
import type { Event } from "../recipe/environment.ts";
import type { Settings } from "../recipe/prepare.ts";
import { printable } from "../report/format.ts";
import { jsonText } from "../report/json.ts";
import type { TableOptions } from "../report/table.ts";
import { createProgress } from "./progress.ts";

/** A stream to write text to, such as process.stdout. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** What a command uses of the process; tests pass their own. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Set by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How the user called the program, such as "npx tersor" (default "tersor"). */
  readonly program?: string;
}

/** The values of the flags that every command has. */
export interface GlobalOptions {
  readonly json?: true;
  readonly quiet?: true;
  readonly force?: true;
  readonly color: boolean;
  readonly seed?: number;
  readonly threads?: number;
  readonly runtime?: "auto" | "node" | "web";
}

/** What a command uses to print, and the values of the shared flags. */
export interface Shell {
  /** The command line as it was typed, for reports. */
  readonly commandLine: string;
  /** The command line that goes on with the run. */
  readonly goOn: string;
  readonly json: boolean;
  readonly force: boolean;
  /** Settings for the API: seed, threads, runtime, abort signal, event handler. */
  readonly settings: Settings;
  readonly table: TableOptions;
  /** Prints the command's result on stdout. */
  print(text: string): void;
  /** Prints additional information on stderr, unless --quiet was given. */
  note(text: string): void;
  /** Prints a warning on stderr, unless --quiet was given. */
  warn(text: string): void;
  /**
   * Says, also with --quiet, that the work was interrupted, what is saved, and the command to go on
   * with. Returns the exit status.
   */
  interrupted(where: string, saved: string): number;
  /** Removes a progress line that is still shown. */
  done(): void;
}

/** The shell for one run of a command; `argv` are its arguments, `options` the shared flags. */
export function createShell(argv: readonly string[], options: GlobalOptions, io: Io): Shell {
  const { stdout, stderr, env } = io;
  const isQuiet = options.quiet ?? false;
  const progress = createProgress(stderr);
  /**
   * Notes from the library, which are printed with the result. After an error only that is shown.
   */
  let later: string[] = [];
  let hasPrinted = false;
  const say = (text: string): void => {
    progress.clear();
    stderr.write(`${text}\n`);
  };
  const commandLine = commandLineOf(argv, io);
  const shell: Shell = {
    commandLine,
    goOn: argv.includes("--resume") ? commandLine : `${commandLine} --resume`,
    json: options.json ?? false,
    force: options.force ?? false,
    settings: {
      seed: options.seed,
      threads: options.threads,
      runtime: options.runtime,
      signal: io.signal,
      onEvent(event: Event) {
        if (event.type === "warning") shell.warn(event.text);
        else if (isQuiet) return;
        else if (event.type === "note") later.push(event.text);
        else progress.show(event);
      },
    },
    table: {
      width: widthOf(io),
      color: options.color && stdout.isTTY === true && !env.NO_COLOR,
    },
    print(text) {
      shell.done();
      for (const note of later) shell.note(note);
      later = [];
      hasPrinted = true;
      stdout.write(text.endsWith("\n") ? text : `${text}\n`);
    },
    note(text) {
      if (!isQuiet) say(printable(text));
    },
    warn(text) {
      if (!isQuiet) say(`tersor: warning: ${printable(text)}`);
    },
    interrupted(where, saved) {
      const what = `was interrupted, ${printable(saved)}`;
      say(`tersor: aborted: ${where}: ${what}. Go on with:\n  ${shell.goOn}`);
      // A survey has printed its rows so far, and stdout holds one object.
      if (shell.json && !hasPrinted) {
        const remedy = `Go on with: ${shell.goOn}`;
        stdout.write(jsonText({ error: { code: "aborted", where, what, remedy } }));
      }
      return 130;
    },
    done: () => progress.clear(),
  };
  return shell;
}

/** The command line with these arguments, as it could be typed in a shell. */
export function commandLineOf(
  argv: readonly string[],
  { program = "tersor" }: Pick<Io, "program">,
): string {
  return [program, ...argv.map(quoted)].join(" ");
}

/** Columns of the terminal; where stdout is none, those in the variable COLUMNS, else 100. */
export function widthOf({ stdout, env }: Pick<Io, "stdout" | "env">): number {
  const { COLUMNS = "" } = env;
  return stdout.columns || (/^[1-9]\d{0,4}$/.test(COLUMNS) ? Number(COLUMNS) : 100);
}

/** An argument quoted for a POSIX shell, where it needs quotes. */
export function quoted(argument: string): string {
  return /^[\w./:=@,+-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
