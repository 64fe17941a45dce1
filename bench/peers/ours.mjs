/** @file One quantization by tersor as a whole process: node bench/peers/ours.mjs model calib.npz out.onnx [recipe]. */
import { writeFileSync } from "node:fs";
import { openData } from "../../dist/data/open.js";
import { nodePlatform as platform } from "../../dist/node/platform.js";
import { applyRecipe } from "../../dist/recipe/apply.js";
import { loadModel } from "../../dist/recipe/load.js";
import { parseRecipe } from "../../dist/recipe/steps.js";
import { simplify } from "../../dist/recipe/trial.js";

const [model, calib, out, recipe = "quantize-int8"] = process.argv.slice(2);
const loaded = await loadModel(model, platform);
const { runtime } = await platform.runtime("node");
const session = await runtime.open(loaded.source, { threads: 1 });
const calibration = await openData(`npz:${calib}`, session.inputs, {}, platform);
const { inputs: feeds } = await calibration.read([0]);
await session.close();
const { bytes, warnings } = await applyRecipe(simplify(loaded.model), parseRecipe(recipe), {
  platform,
  runtime,
  // The peer's sessions use every core as well.
  threads: platform.cores,
  seed: 0,
  signal: null,
  data: null,
  calibration,
  feeds,
  onEvent() {},
});
writeFileSync(out, bytes);
for (const warning of warnings) console.error(warning);
