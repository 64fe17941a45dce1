/** @file A run of the page as a command line and as TypeScript. */
import type { DataInput, StepData } from "../protocol.ts";

export interface Run {
  readonly path: string;
  readonly recipe: string;
  readonly steps: readonly StepData[];
  readonly data: DataInput | null;
  readonly seed: number | undefined;
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

export function commandLine({ path, recipe, data, seed }: Run): string {
  const options = Object.entries(data?.options ?? {}).flatMap(([name, value]) =>
    value === true
      ? [`--${kebab(name)}`]
      : [`--${kebab(name)}`, Array.isArray(value) ? value.join(",") : String(value)],
  );
  const parts = [
    ...["tersor", "compress", path, "--recipe", recipe || "simplify"],
    ...(data ? ["--data", data.spec, ...options] : []),
    ...(seed === undefined ? [] : ["--seed", String(seed)]),
    ...["-o", productName(path, "onnx")],
  ];
  return `npx ${parts.map(quoted).join(" ")}`;
}

export function typeScript({ path, steps, data, seed }: Run): string {
  const recipe = steps.map(({ method, options }) => literal({ method, ...options }));
  const settings = [
    `  recipe: [\n${recipe.map((step) => `    ${step},\n`).join("")}  ],`,
    ...(data ? [`  data: ${literal({ ...data })},`] : []),
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
  const fields = Object.entries(value).map(([name, field]) => `${name}: ${literal(field)}`);
  return fields.length > 0 ? `{ ${fields.join(", ")} }` : "{}";
}
