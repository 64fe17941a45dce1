/**
 * @file Measures what each preset takes and gives, on LeNet-300-100 and MNIST: `npm run
 * bench:presets [preset ...]` writes results/presets.json. Presets that are not named keep their
 * earlier results. Times are CPU times, which other work on the machine changes least.
 */
import { needsOf } from "../src/methods/method.ts";
import { compress, load } from "../src/node.ts";
import { type PresetId, presetRecipe, presets } from "../src/recipe/presets.ts";
import { readRun, writeRun } from "./record.ts";

const root = new URL("../", import.meta.url).pathname;
const names = Object.keys(presets) as PresetId[];
const earlier = readRun<{ presets: object }>("presets")?.presets ?? {};
const wanted = process.argv.length > 2 ? process.argv.slice(2) : names;

const model = await load(`${root}examples/lenet-300-100.onnx`);
const found: Record<string, unknown> = { ...earlier };
for (const name of names.filter((name) => wanted.includes(name))) {
  const needs = presetRecipe(name, model.model, false).flatMap((step) => needsOf(step));
  const before = process.cpuUsage();
  const { result, pack } = await compress(model, {
    preset: name,
    data: "mnist:test",
    calib: "mnist:train",
    threads: 1,
    timingSeconds: 0.5,
  });
  const { user, system } = process.cpuUsage(before);
  found[name] = {
    recipe: result.recipe,
    needs: [...new Set(needs)],
    cpuSeconds: round((user + system) / 1e6),
    stepSeconds: round(result.ease.seconds),
    bytes: result.bytes.raw,
    packed: pack().byteLength,
    smaller: round(result.alpha.bytes),
    speedup: result.delta.infer === null ? null : round(result.delta.infer),
    accuracy: round(result.metric!.value),
    drop: round(result.metric!.drop!),
  };
  console.log(name, JSON.stringify(found[name]));
}

writeRun("presets", {
  command: "npm run bench:presets",
  setting: `1 thread, node ${process.versions.node}`,
  model: { name: "LeNet-300-100", bytes: model.bytes },
  presets: Object.fromEntries(names.flatMap((name) => (found[name] ? [[name, found[name]]] : []))),
});

function round(value: number): number {
  return Number(value.toFixed(2));
}
