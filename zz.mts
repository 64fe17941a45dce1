import { load, compress } from "./src/node.ts";
const path="examples/lenet-300-100.onnx";
const teacher=await load(path);
for(const recipe of process.argv.slice(2)){
const done=await compress(await load(path),{recipe,teacher,data:"mnist:test",calib:"mnist:train",timingSeconds:0.5,deterministic:true,threads:1});
console.log(recipe,done.bytes.length,done.result.metric?.value,done.result.delta.infer,done.result.delta.ci95.infer,done.result.skipped, done.result.warnings,done.result.bytes.packed);
}
process.exit(0)
