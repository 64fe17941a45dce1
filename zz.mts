import { readFileSync } from "node:fs";
import { readModel } from "./src/onnx/read.ts";
import { inferModel } from "./src/ops/infer.ts";
import { weightsOf } from "./src/ops/weights.ts";
import { readWeight } from "./src/weights/read.ts";
for(const f of ["acdc-0","acdc-1","kronecker-1"]){
 const m=readModel(readFileSync(`tersor-out/structured/${f}.onnx`),{name:f});inferModel(m);
 for(const {value,node} of weightsOf(m)){const w=readWeight(value)!; if(!w.form)continue;
  for(const [n,p] of Object.entries(w.theta)){const v=p.values as Float32Array;const sh=p.shape;const c=sh[0];const per=v.length/c;
   // per channel max/rms
   let ratios=[];for(let i=0;i<c;i++){let mx=0,s=0;for(let k=i*per;k<(i+1)*per;k++){mx=Math.max(mx,Math.abs(v[k]));s+=v[k]**2}ratios.push(mx/Math.sqrt(s/per))}
   ratios.sort((a,b)=>a-b);
   let s=0,q=0;for(const x of v){s+=x*x;q+=x**4}
   console.log(f,node.name,n,sh.join("x"),"rms",Math.sqrt(s/v.length).toFixed(4),"kurt",(q/v.length/(s/v.length)**2).toFixed(1),"max/rms median",ratios[c>>1].toFixed(1),"p90",ratios[Math.floor(c*.9)].toFixed(1));
  }}
}
