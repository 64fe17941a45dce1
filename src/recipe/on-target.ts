/** @file What a target's table says of a model: what is slow, wrong or too large there. */
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { computedOf } from "../ops/representation.ts";
import { hasTrait } from "../ops/traits.ts";
import { type Source, type TargetDevice, troubleOf } from "../targets/target.ts";
import { untimedWords } from "./engine.ts";
import { type Environment, isOfTarget } from "./environment.ts";
import type { Loaded } from "./load.ts";

/**
 * Warnings for a product, where the user named a target: that nothing is timed, if this machine is not as
 * it, and what `targetWarnings` says.
 */
export function warningsOnTarget(
  model: Model,
  bytes: number,
  { target, isTargetNamed = false, ...here }: Environment,
): string[] {
  if (!isTargetNamed) return [];
  const untimed = isOfTarget({ target, ...here }) ? [] : [untimedWords(target)];
  return [...untimed, ...targetWarnings(model, target, bytes)];
}

/** The largest level of 7 bits: two products of 255 * 64 fit into 16 bits. */
const LARGEST = 64;
/** Layers that are named in a warning. */
const NAMED = 3;

/**
 * Warnings for a model on a target, each with its source: one for each representation and kind of layers
 * that the table has something against, one for each limit that `bytes` (of all its files) exceed.
 */
export function targetWarnings(model: Model, target: TargetDevice, bytes: number): string[] {
  const found = new Map<string, { source: Source; names: string[] }>();
  for (const graph of model.graph.walk()) {
    for (const node of graph.sorted()) {
      const computed = computedOf(node);
      const trouble = computed && troubleOf(target, computed.representation, computed.work);
      if (!trouble) continue;
      const known = found.get(trouble.text) ?? { source: trouble.source, names: [] };
      known.names.push(node.name);
      found.set(trouble.text, known);
    }
  }
  const troubles = Array.from(
    found,
    ([text, { source, names }]) => `${text}: ${firstOf(names)} (${sourceText(source)})`,
  );
  const tooLarge = target.limits
    .filter((limit) => bytes > limit.bytes)
    .map(({ bytes: most, what, source }) => {
      return `on ${target.id} ${mebibytes(bytes)} are more than ${what} may have, ${mebibytes(most)} (${sourceText(source)})`;
    });
  return [...troubles, ...tooLarge];
}

/**
 * The same for a model that was quantized elsewhere, whose sums may saturate on the target: what our
 * methods write has 7 bits where calibration records showed that they do.
 */
export function foreignWarnings(model: Model, target: TargetDevice, bytes: number): string[] {
  const warnings = targetWarnings(model, target, bytes);
  if (!target.saturates) return warnings;
  const nodes = [...model.graph.walk()].flatMap((graph) => [...graph.nodes]);
  const names = nodes.filter((node) => computedOf(node) && hasLargeLevels(node));
  if (names.length === 0) return warnings;
  const what = "int8 sums may saturate, silently, in layers with weights of 8 bits";
  const where = firstOf(names.map(({ name }) => name));
  return [...warnings, `on ${target.id} ${what}: ${where} (${sourceText(target.saturates)})`];
}

/** Warns that a product will be neither run nor judged, and why. */
export function tellUnrun({ unrun, onEvent }: Environment): void {
  if (!unrun) return;
  const text = `nothing is run, timed or judged, only weights are compressed: ${unrun.message}`;
  onEvent({ type: "warning", text });
}

/** Tells that nothing will be timed, where this machine is not as the target. */
export function tellUntimed({ target, times, onEvent }: Environment): void {
  if (times === false) onEvent({ type: "warning", text: untimedWords(target) });
}

/** Tells what is known against models as they are, on a target that the user named. */
export function tellTarget(models: readonly Loaded[], env: Environment): void {
  tellUntimed(env);
  if (!env.isTargetNamed) return;
  for (const { model, bytes, name } of models) {
    const found = foreignWarnings(model, env.target, bytes ?? 0);
    for (const text of found) env.onEvent({ type: "warning", text: `${name}: ${text}` });
  }
}

/**
 * Whether a layer's int8 weights need more than 7 bits. Weights that nodes compute are not looked at.
 */
function hasLargeLevels({ inputs }: Node): boolean {
  const levels = inputs.flatMap((input) => {
    const value = hasTrait(input?.producer, "converts") ? input?.producer?.inputs[0] : input;
    return value?.tensor?.dtype === "int8" ? [value.tensor.numbers()] : [];
  });
  return levels.some((values) => Array.from(values).some((q) => q > LARGEST || q < -LARGEST));
}

/** Where a fact is from, as reports print it. */
const sourceText = ({ kind, where }: Source): string => `${kind}: ${where}`;

const mebibytes = (bytes: number): string => `${Number((bytes / 2 ** 20).toPrecision(3))} MiB`;

/** The first names, and how many more there are. */
function firstOf(names: readonly string[]): string {
  const rest = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  return names.slice(0, NAMED).join(", ") + rest;
}
