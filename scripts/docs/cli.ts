/** @file Writes docs/cli.md: the help of every command, as the command line prints it. */
import { main } from "../../src/cli/main.ts";
import { page } from "./page.ts";

export async function cliPage(): Promise<string> {
  const overview = await help();
  const listed = overview.slice(overview.indexOf("Commands:")).matchAll(/^ {2}([a-z]+) /gm);
  const commands = [...listed].map(([, name]) => name).filter((name) => name !== "help");
  const sections: string[] = [];
  for (const name of commands) sections.push(`## tersor ${name}`, await help(name));
  return page("# Command line", overview, ...sections);
}

/** The output of `tersor [command] --help`, as a code block. */
async function help(...command: string[]): Promise<string> {
  let text = "";
  const ignored = { write: () => true };
  const status = await main([...command, "--help"], {
    stdout: { write: (part) => (text += part), columns: 100 },
    stderr: ignored,
    signal: new AbortController().signal,
    env: {},
  });
  if (status !== 0) throw new Error(`tersor ${command.join(" ")} --help exits with ${status}`);
  return `\`\`\`text\n${text.trimEnd()}\n\`\`\``;
}
