/** @file Checks a form from outside the package before it joins the table, where all files are compared with it. */
import { Graph, type Value } from "../ir/graph.ts";
import { build } from "../ops/builder.ts";
import { inferNode } from "../ops/infer.ts";
import type { Example, Form } from "./form.ts";

/** The first mistake in a declaration, as the end of the sentence "the form ..."; null without one. */
export function mistakeIn(form: Form): string | null {
  const { kind, theta, examples, elements } = form;
  if (typeof kind !== "string" || kind === "") return "has no kind, which is its name";
  if (examples.length === 0) return "has no example, by which files are read back";
  if (elements !== undefined && !Object.hasOwn(theta, elements)) return `has no part "${elements}"`;
  for (const [name, { dtype, integers }] of Object.entries(theta)) {
    // Whole numbers are packed in 1 to 16 bits; only int64 is stored as it is.
    const [least, greatest] = integers ?? [0, 0];
    const fits = least < 0 ? least >= -(2 ** 15) && greatest < 2 ** 15 : greatest < 2 ** 16;
    if (dtype !== "int64" && !fits)
      return `has whole numbers in ${name} that take more than 16 bits; make it int64`;
  }
  for (const example of examples) {
    const wrong = mistakeInExample(form, example);
    if (wrong) return wrong;
  }
  return null;
}

function mistakeInExample(form: Form, { shape, theta }: Example<string>): string | null {
  const graph = new Graph(form.kind);
  const inputs: Record<string, Value> = {};
  for (const [name, { dtype }] of Object.entries(form.theta)) {
    if (!theta[name]) return `gives no shape of ${name} in an example`;
    inputs[name] = graph.addInput(name, dtype, theta[name]);
  }
  let output: Value | undefined;
  try {
    output = form.build(build(graph, "", inferNode), inputs, shape);
  } catch (cause) {
    return `cannot build an example: ${cause instanceof Error ? cause.message : cause}`;
  }
  if (!output?.producer) return "adds no node in build, or does not return its output";
  if (output.shape && output.shape.join() !== shape.join()) {
    return `builds [${output.shape}] instead of [${shape}] in an example`;
  }
  const read = new Set<Value>([output]);
  for (const { producer } of read)
    for (const input of producer?.inputs ?? []) if (input) read.add(input);
  const unread = Object.keys(inputs).find((name) => !read.has(inputs[name]));
  return unread === undefined ? null : `does not read ${unread} in build`;
}
