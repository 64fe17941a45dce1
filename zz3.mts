import { readFileSync } from "node:fs";
import { readModel } from "./src/onnx/read.ts";
import { inferModel } from "./src/ops/infer.ts";
import { weightsOf } from "./src/ops/weights.ts";
import { readWeight } from "./src/weights/read.ts";
import { composed, leaf } from "./src/weights/weight.ts";
import { roundToGrid } from "./src/weights/forms/grid.ts";
import { apply, environmentOf } from "./test/support/apply.ts";
import { nets } from "./test/support/nets.ts";
const m=readModel(readFileSync("examples/lenet-300-100.onnx"),{name:"x"});inferModel(m);
const w0=weightsOf(m).map(({value})=>readWeight(value)!.values);
const env=environmentOf(nets[0]);
for(const [id,o] of JSON.parse(process.argv[2])){
 const {model}=await apply(m,id,{ratio:8.25,only:["fc2"],...o},env);inferModel(model);
 weightsOf(model).forEach(({value},i)=>{const w=readWeight(value)! as any;if(!w.form)return;
  const e=(v:any)=>{let a=0,b=0;w0[i].forEach((x,k)=>{a+=(x-v[k])**2;b+=x*x});return (a/b).toFixed(3)};
  const th=Object.fromEntries(Object.entries(w.theta).map(([n,p]:any)=>[n,w.form.theta[n].learns?roundToGrid(p.values,p.shape,{bits:4,block:0,axis:w.form.theta[n].channels,search:"mse"} as any):p]));
  const a=Object.values(w.theta)[0] as any;let s=0,q=0;for(const x of a.values){s+=x*x;q+=x**4}
  console.log(id,JSON.stringify(o),"err",e(w.values),"4bit",e(composed(w.form,w.shape,th as any).values),"kurt",(q/a.values.length/(s/a.values.length)**2).toFixed(1));
 });
}
process.exit(0);
