/** @file Cascade: a small model answers what it is sure of; the large one runs otherwise. */
import { z } from "zod";
import { errors, fail } from "../../errors.ts";
import { addExit, addedTo, flipsOption } from "../../evidence/exits.ts";
import type { Value } from "../../ir/graph.ts";
import { copyNodes, type Model } from "../../ir/model.ts";
import { readModel } from "../../onnx/read.ts";
import { build } from "../../ops/builder.ts";
import { costModel } from "../../ops/cost.ts";
import { inferModel, inferNode } from "../../ops/infer.ts";
import { scoresOf } from "../../train/objective.ts";
import { defineMethod } from "../method.ts";

/**
 * With the scores e(x) of a small model and f(x) of this one the output becomes
 *   e(x) if max softmax(e(x)) >= threshold, else f(x)
 * as an ONNX `If`. The threshold is the least one with which at most `flips` percent of the answers
 * on calibration records change. Both models take the same input and give scores of the same classes.
 */
export const cascade = defineMethod({
  title: "cascade of two models",
  cite: "Viola, Jones 2001; Bolukbasi et al. 2017, arXiv 1702.07811",
  equation: "y = e(x) if max softmax(e(x)) >= threshold, else f(x)",
  summary: "Runs a smaller model first; records of which it is sure never reach this one.",
  needs: ["calibration"],
  simplifyFirst: true,
  grows: true,
  options: z.object({
    model: z.string().default("").meta({
      description: "The smaller model, an ONNX file with the same input and classes.",
    }),
    flips: flipsOption,
    heldout: z.number().min(0).max(0.9).default(0).meta({
      description:
        "The threshold is found on this share of the training records, with which `train:holdout` trained the smaller model (data and seed being the same); 0: on the calibration records, which the smaller model should not have been trained on.",
    }),
  }),
  survey: [],
  neutral: { model: "" },
  async apply(model, { model: path, flips, heldout }, context) {
    await context.progress(0, 1);
    if (path === "") return;
    const first = readModel(await context.read(path), { name: path });
    const node = model.graph.outputs[0]?.producer?.name ?? "";
    const { macs } = costModel(model);
    const { early, scores } = join(model, first, path);
    inferModel(model);
    const work = { front: 0, added: addedTo(macs, costModel(model).macs) };
    const unsure = `is reached by every record: ${path} is not sure of any`;
    const exiting = { scores, output: () => early, name: path, node, unsure, work };
    await addExit(model, { ...exiting, records: { heldOut: heldout } }, flips, context);
  },
});

/** Copies the small model in front of the large one; gives its output and its scores. */
function join(model: Model, first: Model, path: string): { early: Value; scores: Value } {
  const [input, ...inputs] = first.graph.inputs;
  const [output, ...outputs] = first.graph.outputs;
  const [own] = model.graph.outputs;
  const refuse = (why: string) =>
    fail(errors.badOption("model", `${path} ${why}`, "Give a smaller model of the same task"));
  if (!input || inputs.length > 0 || outputs.length > 0)
    throw refuse("has several inputs or outputs");
  const x = model.graph.inputs.find(({ dtype, shape }) => {
    return dtype === input.dtype && shape?.slice(1).join() === input.shape?.slice(1).join();
  });
  if (!x) throw refuse(`reads [${input.shape}], which is no input of the model`);
  if (output.shape?.[1] !== own.shape?.[1] || typeof own.shape?.[1] !== "number") {
    throw refuse(`gives [${output.shape}], the model [${own.shape}]`);
  }
  if (own.shape?.[1] === 1)
    throw refuse("gives one number for each record, which is sure of nothing");
  if (output.dtype !== "float32" || own.dtype !== "float32") {
    throw refuse(`gives ${output.dtype}, the model ${own.dtype}: a cascade needs float32 scores`);
  }
  for (const [domain, version] of first.domains) {
    if (!model.domains.has(domain)) (model.domains as Map<string, number>).set(domain, version);
  }
  const twins = new Map<Value, Value>([[input, x]]);
  copyNodes(first.graph, model.graph, twins);
  const last = twins.get(output) as Value;
  const [isSoft, wantsSoft] = [last, own].map((value) => scoresOf(value) !== value);
  const scores = scoresOf(last);
  if (isSoft === wantsSoft) return { early: last, scores };
  const g = build(model.graph, "cascade", inferNode);
  return { early: wantsSoft ? g.Softmax(scores, { axis: -1 }) : scores, scores };
}
