/** @file Node times from a trace: hand-written events, then a real model with nested bodies. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { profileFiles } from "../../src/node/profile.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import { nodeTimes } from "../../src/runtime/trace.ts";
import { assets } from "../support/assets.ts";

const kernel = (node: string, op: string, ts: number, dur: number) => ({
  cat: "Node",
  name: `${node}_kernel_time`,
  ts,
  dur,
  args: { op_name: op, node_index: "0" },
});
const run = (ts: number, dur: number) => ({ cat: "Session", name: "model_run", ts, dur });

test("median over the runs after the warm-up; loops sum; the span of a body is taken off its owner", () => {
  const events = [
    kernel("a", "Add", 0, 900),
    run(0, 1000), // the engine writes a run after its nodes
    ...[1, 2, 3].flatMap((i) => {
      const t = 1000 * i;
      return [
        kernel("a", "Add", t, 10 * i),
        // The enclosing node is written when it ends, after its body.
        kernel("b", "Exp", t + 110, 20),
        kernel("b", "Exp", t + 135, 30),
        kernel("loop", "Loop", t + 100, 80),
        run(t, 500),
      ];
    }),
    { cat: "Session", name: "session_initialization", ts: 0, dur: 5 },
  ];
  expect(nodeTimes(JSON.stringify(events), 1)).toEqual([
    { node: "a", op: "Add", us: 20 },
    { node: "loop", op: "Loop", us: 25 },
    { node: "b", op: "Exp", us: 50 },
  ]);
});

const silero = assets("models/silero_vad_op18_ifless.onnx");
test.skipIf(!silero)("the nodes of a real model with If bodies add up to its runs", async () => {
  const runtime = await openNodeRuntime(profileFiles);
  const bytes = new Uint8Array(readFileSync(silero!));
  const feeds = {
    input: tensor("float32", [1, 576], new Float32Array(576).fill(0.1)),
    sr: tensor("int64", [], 16000),
    state: tensor("float32", [2, 1, 128], new Float32Array(256)),
  };
  const times = (await runtime.profile({ bytes }, feeds, 20))!;
  expect(new Set(times.map(({ op }) => op))).toContain("If");
  expect(times.map(({ op }) => op)).toContain("FusedConv");
  for (const { us } of times) expect(us).toBeGreaterThanOrEqual(0);
  // Were a body counted twice, the owner would outweigh everything else.
  const total = times.reduce((sum, { us }) => sum + us, 0);
  const owners = times.filter(({ op }) => op === "If").reduce((sum, { us }) => sum + us, 0);
  expect(owners).toBeLessThan(total / 2);
});
