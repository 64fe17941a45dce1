/** @file Dropout: whether a node drops values at random, and how it is made to do so. */
import type { Node, Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";

/** Whether the node drops values while a network is trained, with a ratio that is not 0. */
export function isDropout({ op, domain, inputs }: Node): boolean {
  if (op !== "Dropout" || domain !== "") return false;
  return inputs[1]?.tensor?.numbers()[0] !== 0;
}

/** Makes a Dropout drop values in every run, by random numbers of its own `seed`. */
export function startDropping(node: Node, seed: number): void {
  const { graph } = node;
  const given: Value | null = node.inputs[1] ?? null;
  const ratio = given ?? graph.addConstant("ratio", tensor("float32", [], [0.5]));
  const isOn = graph.addConstant("training_mode", tensor("bool", [], [1]));
  node.setInputs([node.inputs[0], ratio, isOn]);
  node.set("seed", { type: "int", value: seed });
}
