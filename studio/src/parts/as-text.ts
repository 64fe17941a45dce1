/** @file A run of the page as a command line and as TypeScript. */
import type { DataInput, Dims, StepData, Typed } from "../protocol.ts";

export interface Run {
  readonly path: string;
  readonly recipe: string;
  readonly steps: readonly StepData[];
  readonly data: DataInput | null;
  readonly seed: number | undefined;
  /** Sizes of axes that the model leaves open, for random inputs. */
  readonly dims: Dims;
}

/** An argument quoted for a POSIX shell, where it needs quotes. */
const quoted = (text: string): string =>
  /^[\w./:=@,+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** labelOffset -> label-offset */
const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

/** The name of the product's file: lenet5.onnx -> lenet5.small.onnx */
export const productName = (path: string, ending: "onnx" | "tersor"): string => {
  const name = path.replace(/^net:/, "").replace(/^.*[/\\](?=.)/s, "");
  return `${name.replace(/\.(onnx|tersor)$/i, "").replace(/[?&=]/g, "-")}.small.${ending}`;
};

export function commandLine({ path, recipe, ...settings }: Run): string {
  const own = ["--recipe", recipe || "simplify", ...flagsOf(settings)];
  return lineOf(["compress", path, ...own, "-o", productName(path, "onnx")]);
}

/** The survey of the page as a command line. */
export const surveyLine = ({ path, ...settings }: SettingsOf & Pick<Run, "path">): string =>
  lineOf(["survey", path, ...flagsOf(settings)]);

/** The search of the page as a command line. */
export function searchLine({
  path,
  typed,
  settings,
}: Pick<Run, "path"> & { readonly typed: Typed; readonly settings: SettingsOf }): string {
  // What is off is on by default, otherwise it would not have been typed.
  const off = Object.keys(typed).filter((name) => typed[name] === false);
  const without = off.map((name) => `--no-${kebab(name)}`);
  return lineOf(["search", path, ...typedFlags(typed), ...without, ...flagsOf(settings)]);
}

type SettingsOf = Pick<Run, "data" | "seed" | "dims">;

const lineOf = (parts: readonly string[]): string => `npx tersor ${parts.map(quoted).join(" ")}`;

/** Flags are written with the text that was typed: that is what the command line parses. */
const typedFlags = (typed: Typed): string[] =>
  Object.entries(typed).flatMap(([name, value]) => {
    if (typeof value === "boolean") return value ? [`--${kebab(name)}`] : [];
    return [`--${kebab(name)}`, String(value)];
  });

function flagsOf({ data, seed, dims }: SettingsOf): string[] {
  const sizes = Object.entries(dims).map(([axis, size]) => `${axis}=${size}`);
  return [
    ...(data ? ["--data", data.spec, ...typedFlags(data.typed)] : []),
    // With data the records decide the sizes.
    ...(!data && sizes.length > 0 ? ["--dims", sizes.join(",")] : []),
    ...(seed === undefined ? [] : ["--seed", String(seed)]),
  ];
}

export function typeScript({ path, steps, data, seed, dims }: Run): string {
  const isSized = !data && Object.keys(dims).length > 0;
  const recipe = steps.map(({ method, options }) => literal({ method, ...options }));
  const settings = [
    `  recipe: [\n${recipe.map((step) => `    ${step},\n`).join("")}  ],`,
    ...(data ? [`  data: ${literal({ spec: data.spec, options: data.options })},`] : []),
    ...(isSized ? [`  dims: ${literal(dims)},`] : []),
    ...(seed === undefined ? [] : [`  seed: ${seed},`]),
  ];
  return [
    'import { compress, load } from "tersor";',
    "",
    `const model = await load(${JSON.stringify(path)});`,
    `const small = await compress(model, {\n${settings.join("\n")}\n});`,
    `await small.save(${JSON.stringify(productName(path, "onnx"))});`,
    "",
  ].join("\n");
}

/** A value as a literal of TypeScript: { method: "pack", bits: 4 } */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).flatMap(([name, field]) =>
    field === undefined ? [] : [`${keyOf(name)}: ${literal(field)}`],
  );
  return fields.length > 0 ? `{ ${fields.join(", ")} }` : "{}";
}

/** A name as a key of an object: quoted where it is no identifier. */
const keyOf = (name: string): string =>
  /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
