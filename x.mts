import { npz, load, compress } from "./src/node.ts";
import { writeSync } from "node:fs";
import { assets } from "./test/support/assets.ts";
const say=(...a:any[])=>writeSync(2,a.join(" ")+"\n");
const which=process.argv[2], recipes=process.argv.slice(3);
const data = await(which==="sst2_transformer"? npz(assets("data/sst2/test.npz")!) : npz(assets("data/stories/tinystories_ids.npz")!));
const calib = which==="sst2_transformer"? await npz(assets("data/sst2/train.npz")!) : undefined;
const m=await load(assets(`models/${which}.onnx`)!);
for (const recipe of recipes) { const t=Date.now(); try {
 const {result:r}:any = await compress(m, {recipe, data, ...(calib&&{calib}), timingSeconds:0.05, deterministic:true} as any);
 say(which, recipe, r.metric?.name, r.metric?.value?.toFixed(4), "was", (r.metric?.original??r.metric?.drop), "bytes", r.bytes.raw, "params", r.params, "macs", r.macs, JSON.stringify(r.warnings), JSON.stringify(r.skipped), Date.now()-t);
 } catch(e:any) { say(recipe, "ERR", e.message, e.stack?.slice(0,600)) } }
