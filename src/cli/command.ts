/** @file Command: the declaration of one command, and how the package commander runs them. */
import { Command as Commander, CommanderError, Help, Option } from "commander";
import { errors, fail, isAborted, TersorError } from "../errors.ts";
import { type Flag, globalFlags, oneOf } from "./flags.ts";
import { elsewhereNote, type FlagValues, readRun, type StoredRun } from "./resume.ts";
import { createShell, type GlobalOptions, type Io, type Shell, widthOf } from "./shell.ts";

/** `O` are the values of the flags, by their names in camelCase. */
export interface Command<O = never> {
  readonly name: string;
  /** Its arguments: `<model>`, `<models...>`, or "" for none. */
  readonly takes: string;
  /** One sentence for the help. */
  readonly summary: string;
  readonly flags: readonly Flag[];
  readonly examples: readonly string[];
  /** For a command with --resume: the path of the file that holds its interrupted run. */
  runFile?(args: readonly string[], options: Partial<O>): string;
  /**
   * Does the work and resolves with the exit status. Throws TersorError for bad usage and input.
   * With --resume, `run` is the run to go on with, and `options` has its flags below those given.
   */
  run(shell: Shell, args: readonly string[], options: O, run: StoredRun | null): Promise<number>;
}

/**
 * Runs the command that `argv` names (the arguments after `node script`) and resolves with its exit
 * status. Without arguments it prints the help. Throws TersorError "bad-usage", and what the
 * command throws.
 */
export async function dispatch(
  commands: readonly Command[],
  argv: readonly string[],
  io: Io,
  about: { readonly version: string; readonly description: string },
): Promise<number> {
  let status = 0;
  const program = new Commander("tersor").description(about.description);
  program.version(about.version, "-V, --version", "Print the version.");
  program.helpCommand("help [command]", "Show help for a command.");
  configure(program, io);
  for (const command of commands) {
    const entry = program.command(`${command.name} ${command.takes}`.trim());
    entry.description(command.summary);
    for (const flag of command.flags) entry.addOption(optionOf(flag));
    configure(entry, io);
    entry.addHelpText("after", helpEnd(command.examples));
    entry.action(async (...given: unknown[]) => {
      const args = given.slice(0, entry.registeredArguments.length).flat() as string[];
      const typed = { ...typedOf(program), ...typedOf(entry) };
      const file = typed.resume ? command.runFile?.(args, typed as never) : undefined;
      const run = file === undefined ? null : readRun(file);
      const values = { ...entry.opts(), ...run?.flags, ...typed };
      const shell = createShell(argv, values as unknown as GlobalOptions, io);
      const elsewhere = run && elsewhereNote(run);
      if (elsewhere) shell.note(elsewhere);
      try {
        status = await command.run(shell, args, values as never, run);
      } catch (cause) {
        throw interrupted(cause, shell);
      } finally {
        shell.done();
      }
    });
  }
  program.addHelpText("after", helpEnd(commands.map(({ examples }) => examples[0])));
  if (argv.length === 0) {
    io.stdout.write(helpText(program));
    return 0;
  }
  try {
    await program.parseAsync([...argv], { from: "user" });
    return status;
  } catch (cause) {
    if (!(cause instanceof CommanderError)) throw cause;
    if (cause.exitCode === 0) return 0;
    throw usageError(cause);
  }
}

/** The flags that were typed, without the defaults. */
function typedOf(entry: Commander): FlagValues {
  const isTyped = ([name]: [string, unknown]) => entry.getOptionValueSource(name) !== "default";
  return Object.fromEntries(Object.entries(entry.opts()).filter(isTyped));
}

/** The error, whose remedy is the command itself if it was interrupted before anything was saved. */
function interrupted(cause: unknown, { commandLine }: Shell): unknown {
  if (!(cause instanceof TersorError) || !isAborted(cause)) return cause;
  const { code, where, what } = cause;
  return fail({ code, where, what, remedy: `Run it again: ${commandLine}` }, cause);
}

/** Sets up what all commands have in common; errors are thrown instead of printed. */
function configure(entry: Commander, io: Io): void {
  for (const flag of globalFlags) entry.addOption(optionOf(flag));
  entry.helpOption("-h, --help", "Show this help.");
  entry.showHelpAfterError(false).configureHelp(helpLayout(widthOf(io)));
  entry.configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: () => {} });
  entry.exitOverride((error) => {
    throw Object.assign(error, { where: entry.name() });
  });
}

/** Flags wider than this have their text below them, so that they do not narrow all others. */
const widestTerm = 26;
/** Least width of the column of texts (commander wraps none narrower); else texts stand below. */
const leastText = 40;

/** How commander lays out help: a column of flags and commands, and one of texts. */
function helpLayout(helpWidth: number): ReturnType<Commander["configureHelp"]> {
  const help = new Help();
  return {
    helpWidth,
    padWidth: (command, helper) => Math.min(widestTerm, help.padWidth(command, helper)),
    formatItem(term, termWidth, description, helper) {
      const [indent, gap] = [2, 2];
      const room = helpWidth - indent - termWidth - gap;
      const isBelow = room < leastText;
      const at = isBelow ? 3 * indent : indent + termWidth + gap;
      const text = helper
        .boxWrap(description, helpWidth - at)
        .replaceAll("\n", `\n${" ".repeat(at)}`);
      const head = " ".repeat(indent) + term;
      if (!isBelow && term.length <= termWidth) return head.padEnd(at) + text;
      return `${head}\n${" ".repeat(at)}${text}`;
    },
  };
}

/**
 * The flag for commander. A flag that is given twice and does not repeat is an error, because
 * commander would use the last one and ignore the other without a word.
 */
function optionOf({
  flags,
  doc,
  choices,
  parse = choices && oneOf(choices),
  repeats,
}: Flag): Option {
  const option = new Option(flags, doc);
  const flag = option.long ?? flags;
  if (!/[<[]/.test(flags)) return option;
  return option.argParser((text: string, previous: unknown) => {
    if (previous !== undefined && !repeats) {
      throw fail(errors.badUsage(flag, "is given twice", "Give it once"));
    }
    const value = parse ? parse(text, flag) : text;
    return repeats ? [...((previous as unknown[] | undefined) ?? []), value] : value;
  });
}

function helpEnd(examples: readonly string[]): string {
  return `\nExamples:\n${examples.map((example) => `  ${example}`).join("\n")}\n`;
}

function helpText(program: Commander): string {
  let text = "";
  program.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  program.outputHelp();
  return text;
}

/** An error of commander, with its text, as one of our own. */
function usageError(error: CommanderError): TersorError {
  const { where = "tersor" } = error as CommanderError & { where?: string };
  const [, hint] = /\(Did you mean (.+?)\?\)/s.exec(error.message) ?? [];
  const words = error.code === "commander.help" ? "there is no such command" : error.message;
  const what = words
    .replace(/\(Did you mean.*$/s, "")
    .replace(/^error: /, "")
    .replace(/\.?\s*$/, "");
  const help = where === "tersor" ? "tersor --help" : `tersor ${where} --help`;
  const remedy = hint ? `Did you mean ${hint}?` : `See: ${help}`;
  return fail(errors.badUsage(where, what, remedy), error);
}
