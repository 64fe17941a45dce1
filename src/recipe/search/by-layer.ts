/** @file A recipe in which each layer is compressed in the way that suits it, by a table of them all. */
import type { Node } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { bestChoices } from "../../numeric/knapsack.ts";
import { writeModel } from "../../onnx/write.ts";
import { weightsOf } from "../../ops/weights.ts";
import { inLanes } from "../../util/lanes.ts";
import { type Choice, layersOf, limited, passing } from "../layer-choice.ts";
import type { Step } from "../steps.ts";
import { sorted } from "./vary.ts";
import type { Watched } from "./watch.ts";

/** A way to compress one layer. */
interface Variant {
  /** The step, which works on all layers. */
  readonly step: Step;
  /** Bytes of the file that it saves on this layer. */
  readonly saved: number;
  /** Power of the error at the model's outputs over that of the outputs, where it alone is compressed. */
  readonly noise: number;
}

/** What is known of the layers. */
export interface LayerTable {
  /** Layers that are compressed in the same way: each large one alone, and the others together. */
  readonly groups: readonly (readonly Node[])[];
  /** The ways for each group. */
  readonly variants: readonly (readonly Variant[])[];
  /** Bytes of the file in which nothing is compressed. */
  readonly whole: number;
}

/** The largest layers, which hold nearly all of the weights. */
const covered = 0.98;
const mostLayers = 48;

/** The layers worth a choice of their own, in the order of the network. */
export function largeLayers(model: Model): Node[] {
  const bytes = new Map<Node, number>();
  for (const { node, value } of weightsOf(model)) {
    bytes.set(node, (bytes.get(node) ?? 0) + (value.tensor?.byteLength ?? 0));
  }
  const total = [...bytes.values()].reduce((a, b) => a + b, 0);
  const largest = [...bytes].sort((a, b) => b[1] - a[1]).slice(0, mostLayers);
  let sum = 0;
  const taken = new Set<Node>();
  for (const [node, size] of largest) {
    if (sum < covered * total) taken.add(node);
    sum += size;
  }
  return [...bytes.keys()].filter((node) => taken.has(node));
}

/** Whether the method works on chosen layers, independently of each other. */
export const isChoosy = (steps: readonly Step[]): boolean =>
  steps.length === 1 && "only" in steps[0].options && "except" in steps[0].options;

/** How the layers are tried. */
export interface TableOptions {
  /** How many at a time. */
  readonly lanes: number;
  /** Asked before every try; where it says no, the table ends with what is known. */
  readonly goesOn: () => Promise<boolean>;
}

/** Tries each step on each layer alone; what it saves is counted from the model as it is. */
export async function layerTable(
  model: Model,
  steps: readonly Step[],
  screen: Watched,
  { lanes, goesOn }: TableOptions,
): Promise<LayerTable> {
  const whole = writeModel(model).byteLength;
  const layers = layersOf(model);
  const large = largeLayers(model);
  const small = layers.filter((node) => !large.includes(node));
  const groups = [...large.map((node) => [node]), ...(small.length > 0 ? [small] : [])];
  const variants = groups.map((): Variant[] => []);
  const tries = steps.flatMap((step) => groups.map((group, i) => ({ step, group, i })));
  const rows = await inLanes(tries, lanes, async ({ step, group }) =>
    (await goesOn()) ? (await screen(limited([step], chosen(group, layers)))).row : null,
  );
  for (const [at, { step, i }] of tries.entries()) {
    const row = rows[at];
    const sqnr = row?.metric?.sqnr;
    if (!row || sqnr === null || sqnr === undefined) continue;
    const noise = row.metric?.exact ? 0 : 10 ** (-sqnr / 10);
    variants[i].push({ step, saved: whole - row.bytes.raw, noise });
  }
  return { groups, variants, whole };
}

/** The fewest bytes that choices from the table make. */
export const leastBytes = ({ variants, whole }: LayerTable): number =>
  variants.reduce((rest, ways) => rest - mostSaved(ways), whole);

const mostSaved = (ways: readonly Variant[]): number =>
  Math.max(0, ...ways.map(({ saved }) => saved));

/**
 * The steps that bring the file to at most `bytes` with the least sum of errors: errors of single
 * layers add up as long as they are small. Null if nothing in the table brings it there. One step
 * for each way to compress, with the layers that it is best for.
 */
export function byLayer(table: LayerTable, bytes: number) {
  const { groups, variants } = table;
  const layers = groups.flat();
  // Costs are what a choice saves less than the best one on its layers.
  const items = variants.map((ways) => {
    const most = mostSaved(ways);
    return [
      { cost: most, loss: 0, step: null },
      ...ways.map(({ step, saved, noise }) => ({ cost: most - saved, loss: noise, step })),
    ];
  });
  const taken = bestChoices(items, bytes - leastBytes(table));
  if (!taken) return null;
  const own = new Map<Step, Node[]>();
  for (const [i, choice] of taken.entries()) {
    const { step } = items[i][choice];
    if (step) own.set(step, [...(own.get(step) ?? []), ...groups[i]]);
  }
  if (own.size === 0) return null;
  return sorted([...own].flatMap(([step, nodes]) => limited([step], chosen(nodes, layers))));
}

/** The choice of these layers, whose names are read as globs and may match others. */
function chosen(own: readonly Node[], layers: readonly Node[]): Choice {
  const only = own.map(({ name }) => name);
  const others = passing(layers, { only, except: [] }).filter((node) => !own.includes(node));
  return { only, except: others.map(({ name }) => name) };
}
