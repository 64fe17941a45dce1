/** @file The report of `tersor inspect --sensitivity` as one HTML file: damage by layer and recipe. */
import { bars } from "./bars.ts";
import * as format from "./format.ts";
import { heatMap } from "./heat.ts";
import { figure, fileName, scrollTable, section, wholePage } from "./html-page.ts";
import { prose } from "./html-results.ts";
import { el, fragment, type Markup } from "./markup.ts";
import type { Figure } from "./plots.ts";
import type { Damage, Inspection, LayerSensitivity, Sensitivity } from "./report.ts";
import { adviceText, hasAdvice, type Second, secondOf, sqnrText } from "./sensitivity.ts";

/** What the page is told beside the figures. */
export interface About {
  readonly commandLine: string;
  /** When the run ended, in ISO 8601. */
  readonly date: string;
  /** The data as the user wrote it. */
  readonly data: string | null;
}

/** Layers and recipes that have bars, at most; of more recipes there is a map of all as well. */
const [mostLayers, mostRecipes] = [24, 4];

/** The whole page; like all reports it makes no request. */
export function sensitivityPage(
  { model }: Inspection,
  found: Sensitivity,
  { commandLine, date, data }: About,
): string {
  const second = secondOf(found);
  const shown = found.layers.slice(0, mostLayers);
  const records = format.plural(found.records, "record");
  const subtitle = [
    `${format.bytes(model.bytes)}, ${format.count(model.params)} parameters`,
    `each layer compressed alone, ${records}${data === null ? "" : ` of ${data}`}`,
  ].join(" · ");
  return wholePage(
    {
      ...{ title: `${model.name}: sensitivity of its layers`, command: "inspect", date },
      ...{ heading: fileName(model.name), subtitle },
    },
    section(
      "Damage by layer and recipe",
      found.recipes.length > mostRecipes ? figure(mapOf(found, shown), "wide") : null,
      groupsOf(found.recipes.length).map(([from, to]) =>
        figure(barsOf(found, shown, second, [from, to]), "wide"),
      ),
    ),
    section(
      "Without the layers of the most noise",
      found.recipes.map((recipe) => [
        el("p", {}, prose(adviceText(recipe, second))),
        hasAdvice(recipe) ? toCopy(recipe.advice) : null,
      ]),
    ),
    section("All layers", tableOf(found, second)),
    section("Reproduce", el("pre", {}, commandLine)),
  );
}

/** Recipes from, to (exclusive) of each chart. */
const groupsOf = (count: number): (readonly [number, number])[] =>
  Array.from({ length: Math.ceil(count / mostRecipes) }, (_, i) => [
    i * mostRecipes,
    Math.min(count, (i + 1) * mostRecipes),
  ]);

/** A text that the page's script copies, with a button that it shows. */
const toCopy = (text: string): Markup =>
  el(
    "div",
    { class: "copied" },
    el("pre", { class: "copy" }, text),
    el("button", { type: "button", class: "copy", hidden: "" }, "copy"),
  );

function textOf(damage: Damage | null, second: Second | null): string {
  if (!damage) return "-";
  const sqnr = sqnrText(damage);
  const own = Number.isFinite(damage.sqnr ?? Number.NaN) ? `${sqnr} dB` : sqnr;
  return second ? `${own}, ${second.text(damage)}` : own;
}

const rest = ({ layers }: Sensitivity): string =>
  layers.length > mostLayers ? `; the ${mostLayers} most sensitive of ${layers.length} layers` : "";

/** A panel for each recipe, a bar for each layer: its share of the noise that all layers cause. */
function barsOf(
  found: Sensitivity,
  shown: readonly LayerSensitivity[],
  second: Second | null,
  [from, to]: readonly [number, number],
): Figure {
  const full = Math.max(...shown.flatMap(({ recipes }) => recipes.map(({ share }) => share)));
  const recipes = found.recipes.slice(from, to);
  return {
    title: "Which layers are damaged",
    caption: `A bar is the layer's share of the noise 10^(-SQNR/10) that all layers cause, each alone: longer is worse. Figures: SQNR of the outputs in dB (low is bad)${second ? `, ${second.name}` : ""}${rest(found)}.`,
    image: bars({
      id: `sensitivity-${from}`,
      title: "Damage by layer and recipe",
      description: `${format.plural(recipes.length, "recipe")}, ${format.plural(shown.length, "layer")}, the most sensitive first. The table holds the same figures.`,
      rows: shown.map(({ name }) => name),
      panels: recipes.map(({ recipe }, r) => ({
        title: recipe,
        colour: null,
        full: full || 1,
        cells: shown.map((layer) => {
          const { damage, share } = layer.recipes[from + r];
          return { value: damage ? share : null, text: textOf(damage, second) };
        }),
      })),
    }),
  };
}

/** Cells of many recipes: the darker, the larger the share of its recipe's noise. */
function mapOf(found: Sensitivity, shown: readonly LayerSensitivity[]): Figure {
  const full = Math.max(...shown.flatMap(({ recipes }) => recipes.map(({ share }) => share))) || 1;
  return {
    title: "All recipes",
    caption: `The darker a cell, the larger the layer's share of the recipe's noise. Numbers: ${found.recipes.map(({ recipe }, i) => `${i + 1} ${recipe}`).join(", ")}${rest(found)}.`,
    image: heatMap({
      id: "sensitivity-map",
      title: "Share of the noise by layer and recipe",
      description: `${format.plural(found.recipes.length, "recipe")}, ${format.plural(shown.length, "layer")}. Hover a cell for its figure.`,
      rows: shown.map(({ name }) => name),
      columns: found.recipes.map(({ recipe }, r) => ({
        short: String(r + 1),
        name: recipe,
        cells: shown.map((layer) => {
          const { damage, share } = layer.recipes[r];
          return { heat: damage ? share / full : null, text: format.percent(share) };
        }),
      })),
    }),
  };
}

function tableOf({ layers, recipes }: Sensitivity, second: Second | null): Markup {
  const header = ["layer", "op", ...recipes.map(({ recipe }) => recipe)];
  const rows = layers.map(({ name, op, recipes: own }) => [
    name,
    op,
    ...own.map(({ damage, share, reason }) =>
      damage ? `${textOf(damage, second)} (${format.percent(share, 0)})` : (reason ?? "-"),
    ),
  ]);
  const note = `SQNR of the outputs in dB${second ? `, ${second.name}` : ""}, and the share of the noise.`;
  return fragment(el("p", { class: "dim" }, note), scrollTable(header, rows));
}
