import { load, compress } from "./src/node.ts";
const path="examples/lenet-300-100.onnx";
const teacher=await load(path);
for(const name of process.argv.slice(2)){
 const t=process.cpuUsage();const w=performance.now();
 const done=await compress(await load(path),{recipe:`${name} > train:epochs=1,loss=kd`,teacher,data:"mnist:test",calib:"mnist:train",timingSeconds:0.1,deterministic:true,threads:1});
 const c=process.cpuUsage(t);
 console.log(name,done.bytes.length,done.result.metric?.value,"cpu",((c.user+c.system)/1e6).toFixed(1),"wall",((performance.now()-w)/1000).toFixed(1), done.result.ease?.seconds, done.result.warnings);
}
process.exit(0);
