/** @file Shell: what every command has to do with the terminal, and nothing else has. */
import type { Event } from "../recipe/environment.ts";
import type { Settings } from "../recipe/prepare.ts";
import { printable } from "../report/format.ts";
import type { TableOptions } from "../report/table.ts";
import { createProgress } from "./progress.ts";

/** A stream to write text to. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** The process as the command line sees it; tests give their own. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Ctrl-C. */
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Options that every command has. */
export interface GlobalOptions {
  readonly json?: true;
  readonly quiet?: true;
  readonly force?: true;
  readonly color: boolean;
  readonly seed?: number;
  readonly threads?: number;
  readonly runtime?: "auto" | "node" | "web";
}

export interface Shell {
  /** The arguments as they were given, for reports. */
  readonly commandLine: string;
  readonly json: boolean;
  readonly force: boolean;
  /** For the API: seed, threads, runtime, Ctrl-C, events. */
  readonly settings: Settings;
  readonly table: TableOptions;
  /** The command's answer, on stdout. */
  print(text: string): void;
  /** By the way, on stderr; silent with --quiet. */
  note(text: string): void;
  warn(text: string): void;
  /** Ends progress lines that are still open. */
  done(): void;
}

export function createShell(argv: readonly string[], options: GlobalOptions, io: Io): Shell {
  const { stdout, stderr, env } = io;
  const isQuiet = options.quiet ?? false;
  const progress = createProgress(stderr);
  /** Notes of the work itself wait for its success: an error is one line. */
  let later: string[] = [];
  const say = (text: string): void => {
    progress.clear();
    stderr.write(`${text}\n`);
  };
  const shell: Shell = {
    commandLine: ["tersor", ...argv].map(quoted).join(" "),
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
      width: stdout.columns || 100,
      color: options.color && stdout.isTTY === true && !env.NO_COLOR,
    },
    print(text) {
      shell.done();
      for (const note of later) shell.note(note);
      later = [];
      stdout.write(text.endsWith("\n") ? text : `${text}\n`);
    },
    note(text) {
      if (!isQuiet) say(printable(text));
    },
    warn: (text) => say(`tersor: warning: ${printable(text)}`),
    done: () => progress.clear(),
  };
  return shell;
}

/** As a POSIX shell would need it written. */
function quoted(argument: string): string {
  return /^[\w./:=@,+-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
