/** @file FFT convolution: large filters as products of spectra, where the engine is faster with them. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import type { Model } from "../../ir/model.ts";
import { fasterGroups } from "../../layers/faster.ts";
import {
  directOf,
  replaceBySpectra,
  type Shapes,
  shapesOf,
  spectrumShape,
} from "../../layers/fourier.ts";
import { type Layer, layerOf } from "../../layers/matrix.ts";
import { costOf, type Plan, plansOf } from "../../numeric/fourier.ts";
import { fourier } from "../../weights/forms/fourier.ts";
import { siteOptions } from "../../weights/select.ts";
import { type LayerSite, layersOf } from "../../weights/sites.ts";
import { composed } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/** Layers for which spectra cost more than this many times the convolution were slower in every timing. */
const HOPELESS = 16;
/** Without an engine to time on, the convolution must cost this many times the spectra. */
const CLEARLY = 2;
/** How the layer would run, in reasons. */
const HOW = "as products of spectra";

/**
 * Convolutions with stride 1 become products of spectra (layers/fourier.ts). The file keeps the filters,
 * which the engine transforms when it loads the model. The transforms are products of matrices, which the
 * engine computes several times as fast as convolutions of few channels. Each kind of layers of the same
 * shapes is timed in the model by itself, then all that were faster together.
 */
export const fftConvolution = defineMethod({
  title: "FFT convolutions",
  equation: "y = F^-1(F(x) . F(W))",
  cite: "Mathieu, Henaff, LeCun 2013, arXiv 1312.5851; tiles: Vasilache et al. 2014, arXiv 1412.7580",
  summary:
    "Computes convolutions by large filters as products of spectra, along one axis or two, where that is measured to be faster.",
  needs: [],
  simplifyFirst: true,
  grows: true,
  options: z.object({
    measure: z.boolean().default(true).meta({
      description:
        "Replaces only layers with which the model is faster, timed on the engine of the run; false: all that spectra can compute.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: null,
  async apply(model, { measure, ...selection }, context) {
    const groups = groupsOf(model, selection, measure ? HOPELESS : Infinity, context);
    await context.progress(0, groups.length);
    if (!measure) return replaceAll(model, groups.map(first));
    const ways = groups.map(({ names, plans }) => plans.map((plan) => ({ names, plan })));
    const alone = `${HOW} on ${context.target.id}`;
    const chosen = await fasterGroups(model, ways, replaceAll, context, HOW, alone);
    replaceAll(model, chosen ?? expected(groups, context));
  },
});

/** Layers of the same shapes. */
interface Group {
  readonly shapes: Shapes;
  readonly names: readonly string[];
  /** The cheapest first. */
  readonly plans: readonly Plan[];
  /** Multiplications of the convolution over the cost of the cheapest plan. */
  readonly gain: number;
}

interface Chosen {
  readonly names: readonly string[];
  readonly plan: Plan;
}

const first = ({ names, plans }: Group): Chosen => ({ names, plan: plans[0] });

/** The layers that spectra could compute, by their shapes; all others are skipped with the reason. */
function groupsOf(
  model: Model,
  selection: { readonly only: string[]; readonly except: string[] },
  hopeless: number,
  context: Context,
): Group[] {
  const groups = new Map<string, Group & { names: string[] }>();
  for (const site of layersOf(model, selection, context)) {
    const { name } = site.node;
    const found = convolutionOf(site);
    if (typeof found === "string") {
      context.skip(name, found);
      continue;
    }
    const { shapes } = found;
    const key = JSON.stringify(shapes);
    const group = groups.get(key) ?? groupOf(shapes);
    if (group.plans.length === 0)
      context.skip(name, "its spectrum would take more than 256 MB of memory");
    else if (group.gain * hopeless < 1) {
      const times = Math.round(1 / group.gain);
      context.skip(name, `would cost ${times} times the convolution ${HOW}`);
    } else {
      group.names.push(name);
      groups.set(key, group);
    }
  }
  return [...groups.values()];
}

function groupOf(shapes: Shapes): Group & { names: string[] } {
  const plans = plansOf(shapes.axes, shapes.channels);
  const cost = plans.length > 0 ? costOf(plans[0], shapes.channels) : Infinity;
  return { shapes, names: [], plans, gain: directOf(shapes) / cost };
}

function convolutionOf(site: LayerSite): { layer: Layer; shapes: Shapes } | string {
  const layer = layerOf(site, { grouped: true });
  if (typeof layer === "string") return layer;
  const shapes = shapesOf(layer);
  return typeof shapes === "string" ? shapes : { layer, shapes };
}

/** The groups that cost clearly less by their multiplications; the layers of others are skipped. */
function expected(groups: readonly Group[], context: Context): Chosen[] {
  return groups.flatMap((group) => {
    if (group.gain >= CLEARLY) return [first(group)];
    const gain = group.gain.toFixed(2);
    const reason = `may be slower ${HOW} (expected: ${gain}x), and there is no engine to time it on`;
    for (const name of group.names) context.skip(name, reason);
    return [];
  });
}

function replaceAll(model: Model, chosen: readonly Chosen[]): void {
  const plans = new Map(chosen.flatMap(({ names, plan }) => names.map((name) => [name, plan])));
  for (const site of layersOf(model, { only: [], except: [], frontEnds: true }, { skip() {} })) {
    const plan = plans.get(site.node.name);
    const found = plan && convolutionOf(site);
    if (!found || typeof found === "string") continue;
    const { layer, shapes } = found;
    const u = composed(fourier, spectrumShape(shapes, plan), { kernel: layer.weight });
    replaceBySpectra(layer, shapes, plan, u);
  }
}
