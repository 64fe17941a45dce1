/** @file tersor completion: a script that completes commands, flags and names in a shell. */
import { errors, fail } from "../errors.ts";
import { methods } from "../methods/index.ts";
import type { Command } from "./command.ts";
import { type Flag, globalFlags } from "./flags.ts";

const longNames = (flags: readonly Flag[]): string[] =>
  flags.flatMap(({ flags: text }) => text.match(/--[a-z-]+/g) ?? []);

/** What shells offer behind a flag; files where it tells nothing. */
const valuesOf = ({ choices, suggests }: Flag): readonly string[] => choices ?? suggests ?? [];

/** The same by the long name of the flag, which may have other values in another command. */
function valuesByName(commands: readonly Command[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const flag of [...globalFlags, ...commands.flatMap(({ flags }) => flags)]) {
    const values = valuesOf(flag);
    for (const name of values.length > 0 ? longNames([flag]) : []) {
      found.set(name, new Set([...(found.get(name) ?? []), ...values]));
    }
  }
  return found;
}

/** The command that prints the script for the other commands. */
export function completionCommand(commands: readonly Command[]): Command {
  const names = [...commands.map(({ name }) => name), "completion", "help"];
  const shared = [...longNames(globalFlags), "--help"];
  const scripts: Readonly<Record<string, () => string>> = {
    bash: () => bashScript(),
    // zsh runs bash's functions once it is told to.
    zsh: () => `autoload -U +X bashcompinit && bashcompinit\n${bashScript()}`,
    fish: () => fishScript(),
  };

  function bashScript(): string {
    const cases = commands.map(
      ({ name, flags }) => `    ${name}) words="${[...longNames(flags), ...shared].join(" ")}" ;;`,
    );
    const values = Array.from(
      valuesByName(commands),
      ([flag, words]) => `    ${flag}) words="${[...words].join(" ")}" ;;`,
    );
    return `# Completes tersor's commands, flags and names. Put it where your shell reads it:
#   eval "$(tersor completion bash)"
_tersor() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  case "$before" in
${values.join("\n")}
  esac
  if [ -z "$words" ] && [ "$COMP_CWORD" -eq 1 ]; then words="${names.join(" ")}"; fi
  if [ -z "$words" ] && [ "\${COMP_WORDS[1]}" = methods ]; then words="${Object.keys(methods).join(" ")}"; fi
  if [ -z "$words" ] && [ "\${word#-}" != "$word" ]; then
    case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _tersor tersor
`;
  }

  function fishScript(): string {
    const first = `complete -c tersor -n __fish_use_subcommand -a "${names.join(" ")}"`;
    const flags = commands.flatMap(({ name, flags: own }) =>
      own.flatMap((flag) => {
        const [long] = longNames([flag]);
        if (!long) return [];
        const words = valuesOf(flag);
        const values = words.length > 0 ? ` -xa "${words.join(" ")}"` : "";
        const doc = flag.doc.replaceAll(/["$\\]/g, "");
        return [
          `complete -c tersor -n "__fish_seen_subcommand_from ${name}" -l ${long.slice(2)}${values} -d "${doc}"`,
        ];
      }),
    );
    const named = `complete -c tersor -n "__fish_seen_subcommand_from methods" -a "${Object.keys(methods).join(" ")}"`;
    return `${[first, ...flags, named].join("\n")}\n`;
  }

  return {
    name: "completion",
    takes: "<shell>",
    summary: "Prints a script that completes commands, flags and names in bash, zsh or fish.",
    flags: [],
    examples: ['eval "$(tersor completion bash)"', "tersor completion fish | source"],
    async run(shell, [name]) {
      const script = Object.hasOwn(scripts, name) ? scripts[name] : null;
      if (!script) {
        const why = "is no shell that tersor completes in";
        throw fail(errors.badUsage(name, why, `Give one of: ${Object.keys(scripts).join(", ")}`));
      }
      shell.print(script());
      return 0;
    },
  };
}
