// projection errors and times on LeNet
import { load, compress } from "./src/node.ts";
import { readModel } from "./src/onnx/read.ts";
import { inferModel } from "./src/ops/infer.ts";
import { weightsOf } from "./src/ops/weights.ts";
import { readWeight } from "./src/weights/read.ts";
import { countOf } from "./src/weights/count.ts";
const get=(bytes:Uint8Array)=>{const m=readModel(bytes,{name:"x"});inferModel(m);return weightsOf(m).map(({value})=>readWeight(value)!)};
const path="examples/lenet-300-100.onnx";
const {readFileSync}=await import("node:fs");
const w0=get(readFileSync(path));
for(const recipe of process.argv.slice(2)){
 const t=performance.now();
 const done=await compress(await load(path),{recipe,data:"mnist:test",calib:"mnist:train",timingSeconds:0.1,deterministic:true,threads:1});
 const ws=get(done.bytes);
 const errs=ws.map((w,i)=>{let e=0,p=0;for(let k=0;k<w.values.length;k++){e+=(w.values[k]-w0[i].values[k])**2;p+=w0[i].values[k]**2}return (e/p).toFixed(3)+":"+countOf(w).numbers});
 console.log(recipe,errs.join(" "),done.bytes.length,done.result.metric?.value,((performance.now()-t)/1000).toFixed(1)+"s", done.result.warnings);
}
process.exit(0);
