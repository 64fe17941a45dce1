/** @file The table of targets: facts have sources, and measured ones are those of the bench. */
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readRuns } from "../../bench/record.ts";
import { arm } from "../../src/targets/arm.ts";
import { ownTarget, targetNamed, targets } from "../../src/targets/index.ts";
import { nodeCpu } from "../../src/targets/node-cpu.ts";
import { nodeCpuNoVnni } from "../../src/targets/node-cpu-no-vnni.ts";
import { type Fact, factOf, figures, measured, pays } from "../../src/targets/target.ts";
import { webWasm } from "../../src/targets/web-wasm.ts";
import { webWebgpu } from "../../src/targets/web-webgpu.ts";

type Bench = Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, number>>>>>>;
const runs = Object.values(readRuns<Bench>("targets"));

const all = targets.flatMap((target) =>
  Object.entries(target.facts).flatMap(([representation, works]) =>
    Object.entries(works).map(([work, fact]): [string, Fact, string[]] => {
      return [`${target.id} ${representation} ${work}`, fact, [target.id, work, representation]];
    }),
  ),
);

describe("facts", () => {
  test("have sources: an address, a file of the project, or the bench", () => {
    const sources = [
      ...all.map(([, { source }]) => source),
      ...targets.flatMap(({ notes, limits }) => [...notes, ...limits].map(({ source }) => source)),
      ...targets.flatMap(({ saturates }) => saturates ?? []),
    ];
    for (const { kind, where } of sources) {
      if (kind === "published") expect(where).toMatch(/^https:\/\//);
      else expect(where === "npm run bench:targets" || existsSync(where), where).toBe(true);
    }
  });

  test("that were measured are what the bench printed", () => {
    const figured = all.filter(([, { speedup }]) => speedup !== null);
    expect(figured.length).toBeGreaterThan(60);
    for (const [name, { speedup, source }, [target, work, representation]] of figured) {
      expect(source.kind, name).toBe("measured");
      expect(
        runs.map((run) => run[target]?.[work]?.[representation]),
        name,
      ).toContain(speedup);
    }
  });

  test("say that it pays from 1.1 on, and what is wrong below 0.9", () => {
    const { dense, pointwise, depthwise } = figures(measured("x"), {
      ...{ dense: 1.11, pointwise: 0.91, depthwise: 0.89 },
    });
    expect([dense?.pays, dense?.problem]).toEqual([true, null]);
    expect([pointwise?.pays, pointwise?.problem]).toEqual([false, null]);
    expect([depthwise?.pays, depthwise?.problem]).toEqual([
      false,
      "runs at 0.89 of the speed of float32",
    ]);
  });

  test("of what is known to differ between targets", () => {
    expect(pays(nodeCpu, "weights-4", "product-1")).toBe(true);
    expect(pays(webWasm, "weights-4")).toBe(false);
    expect(pays(webWasm, "static-int8", "dense")).toBe(true);
    expect(pays(webWasm, "static-int8", "depthwise")).toBe(false);
    expect(factOf(webWebgpu, "static-int8", "dense")?.problem).toMatch(/no kernel on the GPU/);
    expect(pays(webWebgpu, "float16")).toBe(true);
    expect([nodeCpu, nodeCpuNoVnni, webWasm].some((one) => pays(one, "float16"))).toBe(false);
    expect([nodeCpuNoVnni, nodeCpu, webWasm, arm].filter(({ saturates }) => saturates)).toEqual([
      nodeCpuNoVnni,
    ]);
  });
});

test.each([
  ["web", "x64", true, webWasm],
  ["node", "x64", true, nodeCpu],
  ["node", "x64", null, nodeCpu],
  ["node", "x64", false, nodeCpuNoVnni],
  ["node", "arm64", null, arm],
] as const)("%s on %s with VNNI %s is a target", (engine, arch, vnni, target) => {
  expect(ownTarget(engine, { arch, vnni })).toBe(target);
});

test("unknown names are refused with the nearest one", () => {
  expect(targetNamed("web-wasm", "--on")).toBe(webWasm);
  expect(() => targetNamed("web-wsm", "--on")).toThrow(/Did you mean "web-wasm"/);
});
