/** @file Advice as text for a terminal, and as JSON. */
import type { Checked } from "../recipe/advice.ts";
import type { Facts, LayerKind } from "../recipe/facts.ts";
import type { ModelInfo } from "../recipe/inspect.ts";
import { plural } from "./format.ts";
import { modelJson, resultJson } from "./json.ts";

const names: Readonly<Record<LayerKind, string>> = {
  full: "fully connected",
  conv: "convolutions",
  pointwise: "1x1 convolutions",
  depthwise: "depthwise convolutions",
  recurrent: "recurrent",
  embedding: "tables of rows",
};

const percent = (share: number | null): string =>
  share === null ? "?" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** The facts, then each advice with its reason, source and verdict. */
export function adviceText(facts: Facts, advice: readonly Checked[]): string {
  const kinds = (Object.keys(names) as LayerKind[]).filter((kind) => facts.kinds[kind].layers > 0);
  const width = Math.max(0, ...kinds.map((kind) => names[kind].length));
  const lines = kinds.map((kind) => {
    const { layers, params, macs } = facts.kinds[kind];
    return `  ${names[kind].padEnd(width)}  ${plural(layers, "layer").padStart(10)}  ${percent(params).padStart(6)} of the weights  ${percent(macs).padStart(6)} of the arithmetic`;
  });
  const more = [
    facts.zeros > 0.01 ? `${percent(facts.zeros)} of the weights are zero` : null,
    facts.blocks > 0 ? plural(facts.blocks, "residual block") : null,
    facts.records === null ? "no data" : null,
    facts.training === null ? null : `${plural(facts.training, "record")} to train on`,
  ].filter((text) => text !== null);
  const told = advice.map(
    ({ recipe, because, source, verdict }, i) =>
      `${i + 1}. ${recipe}\n   ${verdict}\n   Why: ${because}.\n   Source: ${source}.`,
  );
  return [...lines, ...(more.length > 0 ? [`  ${more.join(", ")}`] : []), "", ...told].join("\n");
}

/** What `advise` prints with --json: {command, model, facts, advice}. */
export function adviceJson(model: ModelInfo, facts: Facts, advice: readonly Checked[]) {
  return {
    command: "advise",
    model: modelJson(model),
    facts: { ...facts, target: facts.target.id },
    advice: advice.map(({ recipe, because, source, weight, verdict, isConfirmed, result }) => ({
      ...{ recipe, because, source, weight, verdict, confirmed: isConfirmed },
      result: result && resultJson(result),
    })),
  };
}
