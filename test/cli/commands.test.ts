/** @file What every command does when all is well, on a model of seconds. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isNodeRecent, leastNode } from "../../src/cli/doctor.ts";
import { main } from "../../src/cli/main.ts";
import { modelFile } from "../../src/cli/survey-state.ts";
import { methods as table } from "../../src/methods/index.ts";
import { readModel } from "../../src/onnx/read.ts";
import { writeFixtures } from "./fixtures.ts";
import { run as runAll, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const model = folder.in("model.onnx");
const data = `jsonl:${folder.in("data.jsonl")}`;
beforeAll(() => writeFixtures(folder));
afterAll(() => folder.close());

/** Timing is not what is tested here. */
const run = (argv: readonly string[], ...rest: [AbortSignal?, ((text: string) => void)?]) =>
  runAll(
    /compress|survey|eval|inspect/.test(argv[0] ?? "") ? [...argv, "--timing", "0.05s"] : argv,
    ...rest,
  );

/** Runs, and reads the one JSON object that stdout must be. */
async function json(...argv: string[]) {
  const { status, stdout, stderr } = await run([...argv, "--json"]);
  expect(stdout, stderr).not.toBe("");
  return { status, stderr, found: JSON.parse(stdout) };
}

const bytesOf = (path: string) => new Uint8Array(readFileSync(path));

/** Every key of a result (DESIGN 4), whatever was measured. */
const resultShape = {
  recipe: expect.any(String),
  bytes: {
    raw: expect.any(Number),
    gzip: expect.any(Number),
    brotli: expect.any(Number),
    packed: expect.any(Number),
  },
  params: 260,
  nonzeros: expect.any(Number),
  macs: 256,
  latency: expect.objectContaining({ median: expect.any(Number), p90: expect.any(Number) }),
  alpha: { params: expect.any(Number), bytes: expect.any(Number), brotli: expect.any(Number) },
  beta: { survey: expect.any(Number), saved: expect.any(Number) },
  delta: expect.objectContaining({
    infer: expect.any(Number),
    recipe: expect.any(Number),
    train: null,
  }),
  ease: expect.objectContaining({ training: false, covered: expect.any(Number) }),
  marks: expect.objectContaining({ size: expect.stringMatching(/[o△x]/) }),
  seed: 1,
  warnings: expect.any(Array),
  skipped: expect.any(Array),
  versions: expect.any(Object),
};

describe("compress", () => {
  test("writes the simplified model, with a warning, when a step is rolled back", async () => {
    const out = folder.in("rolled-back.onnx");
    const plain = folder.in("plain.onnx");
    // A scale for every weight costs more than the bits save.
    const recipe = "quantize-weights:block=1";
    const { status, found } = await json("compress", model, "--recipe", recipe, "-o", out);
    expect(status).toBe(0);
    await json("compress", model, "--preset", "lossless", "-o", plain);
    expect(found.result.warnings.join()).toMatch(
      /^quantize-weights:block=1 was rolled back: it made the file larger/,
    );
    expect(found.result.warnings).toHaveLength(1);
    expect(bytesOf(out)).toEqual(bytesOf(plain));
  });

  test("simplify is a recipe like others", async () => {
    const out = folder.in("simplified.onnx");
    const { status, found } = await json("compress", model, "--recipe", "simplify", "-o", out);
    expect([status, found.result.recipe]).toEqual([0, "simplify"]);
    expect(bytesOf(out)).toEqual(bytesOf(folder.in("plain.onnx")));
    const { stdout } = await run(["compress", model, "--recipe", "simplify"]);
    expect(stdout).toContain(`simplify -> ${folder.in("model.tersor.onnx")}\n`);
  });

  test("writes the model it measured, and leaves the input alone", async () => {
    const before = bytesOf(model);
    const out = folder.in("halved.onnx");
    const recipe = "prune-magnitude:sparsity=0.5 > store-float16";
    const { status, found } = await json(
      "compress",
      model,
      "--recipe",
      recipe,
      "--data",
      data,
      "-o",
      out,
    );
    expect(status).toBe(0);
    expect(Object.keys(found)).toEqual(["command", "model", "result"]);
    expect(found.command).toBe("compress");
    expect(found.result).toMatchObject(resultShape);
    expect(found.result.file).toBe(out);
    expect(found.result.bytes.raw).toBe(statSync(out).size);
    expect(found.result.nonzeros).toBe(260 - 128);
    // A fifth of the 60 records calibrates, and is left out.
    expect(found.result.metric).toMatchObject({ name: "accuracy", n: 48 });
    expect(readModel(bytesOf(out)).graph.outputs[0].name).toBe("y");
    expect(bytesOf(model)).toEqual(before);
  });

  test("the same seed gives the same bytes, another may not", async () => {
    const made: Uint8Array[] = [];
    for (const seed of ["7", "7", "8"]) {
      const out = folder.in(`seed-${made.length}.onnx`);
      const args = ["--recipe", "prune-random:sparsity=0.5", "--seed", seed, "-o", out];
      expect((await run(["compress", model, ...args])).status).toBe(0);
      made.push(bytesOf(out));
    }
    expect(made[1]).toEqual(made[0]);
    expect(made[2]).not.toEqual(made[0]);
  });

  test("the default name is beside the input and says which preset", async () => {
    const { status, stdout } = await run(["compress", model, "--preset", "half"]);
    expect(status).toBe(0);
    expect(stdout).toContain(`store-float16 -> ${folder.in("model.half.onnx")}\n`);
    expect(existsSync(folder.in("model.half.onnx"))).toBe(true);
  });

  test("the default recipe follows from whether there are data", async () => {
    const recipeOf = async (...args: string[]) => {
      const { found } = await json(
        "compress",
        model,
        "--force",
        "-o",
        folder.in("default.onnx"),
        ...args,
      );
      return found.result.recipe;
    };
    expect(await recipeOf("--data", data)).toBe("quantize-int8:kernel=auto");
    expect(await recipeOf()).toBe("quantize-dynamic > quantize-weights");
  });

  test("a module's recipe may hold a method of its own", async () => {
    const zod = new URL("../../node_modules/zod/index.js", import.meta.url);
    const module = `import { z } from "${zod}";
      const halve = { id: "halve", title: "", cite: "", summary: "", needs: [], survey: [],
        options: z.object({ by: z.number().default(2) }), neutral: null,
        apply(model, { by }, context) { context.warn("halved by " + by); } };
      export default [{ method: halve, by: 3 }, { method: "store-float16" }];`;
    writeFileSync(folder.in("recipe.mjs"), module);
    const recipe = ["--recipe", folder.in("recipe.mjs")];
    const { found } = await json("compress", model, ...recipe, "-o", folder.in("own.onnx"));
    expect(found.result.recipe).toBe("halve:by=3 > store-float16");
    expect(found.result.warnings).toContain("halve: halved by 3");
  });

  test("a missed target is status 1, and the model is written all the same", async () => {
    const args = (limit: string, out: string) => [
      "compress",
      model,
      "--preset",
      "half",
      "--target",
      limit,
      "-o",
      folder.in(out),
    ];
    const missed = await run(args("size<=100, speedup>=0.0001", "missed.onnx"));
    expect(missed.status).toBe(1);
    expect(missed.stderr).toMatch(/target missed: size<=100: it is \d+ bytes/);
    expect(missed.stderr).not.toMatch(/speedup/);
    expect(existsSync(folder.in("missed.onnx"))).toBe(true);
    expect((await run(args("size<=1kB", "met.onnx"))).status).toBe(0);
  });

  test("--force overwrites", async () => {
    const out = folder.in("forced.onnx");
    writeFileSync(out, "something else");
    expect((await run(["compress", model, "--preset", "half", "-o", out, "--force"])).status).toBe(
      0,
    );
    expect(readModel(bytesOf(out)).graph.nodes.size).toBeGreaterThan(0);
  });

  test("a recipe may end like the name of a file", async () => {
    for (const pattern of ["Gemm*|layer.ts", "Gemm*|a.json", "Gemm*|model.js"]) {
      const recipe = `share-weights:bits=2,only=${pattern}`;
      const args = ["--recipe", recipe, "-o", folder.in("never.onnx")];
      const { stderr } = await run(["compress", model, ...args]);
      const glob = pattern.split("|")[1];
      expect(stderr).toMatch(`no-match: only/except: "${glob}" matches no layer`);
    }
  });

  test.each([
    ["steps.json", '[{ "method": "store-float16" }]'],
    ["config.json", '{ "recipe": "store-float16" }'],
    ["tersor.config.mjs", 'export default { recipe: [{ method: "store-float16" }] };'],
  ])("a recipe from %s", async (name, text) => {
    writeFileSync(folder.in(name), text);
    const out = folder.in(`${name}.onnx`);
    const { found } = await json("compress", model, "--recipe", folder.in(name), "-o", out);
    expect(found.result.recipe).toBe("store-float16");
  });

  test("a report is one HTML page with the command in it", async () => {
    const report = folder.in("report.html");
    const out = folder.in("reported.onnx");
    const { stdout } = await run([
      "compress",
      model,
      "--preset",
      "half",
      "--data",
      data,
      "-o",
      out,
      "--report",
      report,
    ]);
    const html = readFileSync(report, "utf8");
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).toContain("tersor compress ");
    // A sentence on speed may follow, as the timing of a busy machine falls out.
    expect(stdout).toMatch(/\nJudged on 48 records, 12 held for calibration\.\n/);
  });

  test("says where the same records calibrate and judge", async () => {
    const args = [
      "--preset",
      "half",
      "--data",
      data,
      "--calib",
      data,
      "-o",
      folder.in("same.onnx"),
    ];
    const { status, stdout, stderr } = await run(["compress", model, ...args]);
    expect(status).toBe(0);
    expect(stderr).toContain(
      `tersor: warning: calibrated and judged on the same records (${data}), `,
    );
    expect(stdout).toContain("\nCalibrated and judged on the same records.\n");
  });

  test("Ctrl-C writes nothing and is status 130", async () => {
    const before = folder.list();
    const args = ["compress", model, "--preset", "half", "-o", folder.in("never.onnx")];
    const { status, stdout, stderr } = await run(args, AbortSignal.abort());
    expect([status, stdout]).toEqual([130, ""]);
    expect(stderr).toMatch(/^tersor: aborted: .*\n$/);
    expect(folder.list()).toEqual(before);
  });
});

describe("survey", () => {
  const recipes = folder.in("recipes.txt");
  const survey = (out: string, ...args: string[]) => [
    "survey",
    model,
    "--data",
    data,
    "--recipes",
    recipes,
    "-o",
    folder.in(out),
    ...args,
  ];
  beforeAll(() => {
    writeFileSync(recipes, "store-float16  # halves\n\nshare-weights:bits=2\nquantize-weights\n");
  });

  test("measures every recipe and keeps the models, the report and the plot", async () => {
    const { status, found } = await json(...survey("all"));
    expect(status).toBe(0);
    expect(Object.keys(found)).toEqual(["command", "model", "results", "pareto"]);
    const names = found.results.map((row: { recipe: string }) => row.recipe);
    expect(names).toEqual([
      "original",
      "store-float16",
      "share-weights:bits=2",
      "quantize-weights",
    ]);
    // 64 x 4 weights and 4 biases; with them the entries of a codebook, or a scale per output.
    const stored = [260, 260 + 4, 260 + 4];
    for (const [i, row] of found.results.slice(1).entries()) {
      expect(row).toMatchObject({ ...resultShape, params: stored[i] });
      expect(row.alpha.params).toBeCloseTo(found.results[0].params / row.params, 12);
      expect(row.beta.survey).toBeCloseTo(row.alpha.params - 1, 12);
      expect(row.beta.saved).toBeCloseTo(1 - 1 / row.alpha.bytes, 12);
      expect(row.bytes.raw).toBe(statSync(row.file).size);
    }
    expect(found.pareto.length).toBeGreaterThan(0);
    for (const file of ["survey.json", "report.html", "report.md", "pareto.svg"]) {
      expect(existsSync(folder.in(`all/${file}`)), file).toBe(true);
    }
    const state = JSON.parse(readFileSync(folder.in("all/survey.json"), "utf8"));
    expect(state).toMatchObject({ complete: true, results: found.results, pareto: found.pareto });
  });

  test("does not mix with another survey", async () => {
    const again = await run(survey("all"));
    expect(again.stderr).toMatch(/bad-survey: .*survey.json: exists already. Go on with --resume/);
  });

  test("keeps the job and the recipes with the rows, for whoever goes on", async () => {
    const state = JSON.parse(readFileSync(folder.in("all/survey.json"), "utf8"));
    expect(state.job).toMatchObject({
      model: state.model.hash,
      data: { spec: data, options: {}, content: expect.stringMatching(/^[0-9a-f]{64}$/) },
      seed: 1,
      threads: 1,
      training: null,
    });
    expect(state.recipes).toEqual(["store-float16", "share-weights:bits=2", "quantize-weights"]);
  });

  test("recipes may train, and hold quoted signs", async () => {
    const file = folder.in("training.txt");
    writeFileSync(file, 'train:steps=2,holdout=0  # learns\nshare-weights:bits=2,only="Gemm*"\n');
    const args = ["--data", data, "--recipes", file, "-o", folder.in("trained")];
    const { status, found } = await json("survey", model, ...args);
    expect(status).toBe(0);
    const names = found.results.map(({ recipe }: { recipe: string }) => recipe);
    expect(names).toEqual([
      "original",
      "train:steps=2,holdout=0",
      "share-weights:bits=2,only=Gemm*",
    ]);
    expect(found.results[1].ease).toMatchObject({ training: true, data: "labelled" });
  });

  test("every recipe has a model file of its own", () => {
    const recipes = ["a:only=x*", "a:only=x?", 'a:only="x,y"', "a:only=x_", "a > b", "a:b=1"];
    expect(new Set(recipes.map(modelFile)).size).toBe(recipes.length);
    expect(modelFile("prune-magnitude:sparsity=0.8 > share-weights:bits=4")).toBe(
      "prune-magnitude-sparsity-0.8+share-weights-bits-4.onnx",
    );
  });
});

describe("inspect", () => {
  test("the rows sum to the totals", async () => {
    const { found } = await json("inspect", model);
    expect(Object.keys(found)).toEqual(["model", "totals", "layers"]);
    expect(found.totals).toMatchObject({ layers: 1, params: 260, macs: 256, bytes: 1040 });
    const sum = (key: string) =>
      found.layers.reduce((total: number, layer: Record<string, number>) => total + layer[key], 0);
    for (const key of ["params", "macs", "bytes"]) expect(sum(key)).toBe(found.totals[key]);
    expect(sum("ms")).toBeCloseTo(found.totals.ms, 9);
    expect(found.layers[0]).toMatchObject({ name: "Gemm_0", op: "Gemm", shape: [64, 4] });
    expect(found.model).toMatchObject({ opset: 21, bytes: statSync(model).size });
  });

  test("a model that no engine opens is shown, untimed", async () => {
    const { status, stderr, found } = await json("inspect", folder.in("custom.onnx"));
    expect(status).toBe(0);
    expect(stderr).toMatch(/^tersor: warning: nothing is timed: cannot-open: .*NoSuchOperator/);
    expect(found.totals).toMatchObject({ layers: 0, ms: null });
  });

  test("--sensitivity measures each layer alone, as a table and in JSON", async () => {
    const recipes = ["store-float16", "quantize-weights:bits=2"];
    const flags = recipes.flatMap((recipe) => ["--recipe", recipe]);
    const asked = ["inspect", model, "--sensitivity", "--data", data, ...flags, "--records", "20"];
    const { found } = await json(...asked);
    expect(Object.keys(found)).toEqual(["model", "totals", "layers", "sensitivity"]);
    expect(found.sensitivity).toMatchObject({ records: 20, metric: "accuracy" });
    const [layer] = found.sensitivity.layers;
    expect(layer).toMatchObject({ name: "Gemm_0", op: "Gemm", share: 1 });
    expect(layer.recipes.map(({ recipe }: { recipe: string }) => recipe)).toEqual(recipes);
    // 16 bits keep 11 significant ones; two leave -1, 0 and 1.
    expect(layer.recipes[0].damage).toMatchObject({ flips: 0, drop: 0, exact: false });
    expect(layer.recipes[0].damage.sqnr).toBeGreaterThan(60);
    expect(layer.recipes[1].damage.sqnr).toBeLessThan(20);
    expect(found.sensitivity.recipes[1]).toMatchObject({
      except: ["Gemm_0"],
      advice: "quantize-weights:bits=2,except=Gemm_0",
      rest: null,
    });
    const page = folder.in("sensitivity.html");
    const { status, stdout } = await run([...asked, "--report", page]);
    expect(status).toBe(0);
    expect(readFileSync(page, "utf8")).toContain("quantize-weights:bits=2,except=Gemm_0</pre>");
    const lines = stdout.split("\n");
    expect(lines).toContain("Sensitivity");
    const [, sqnr] = /^Gemm_0 +Gemm +\S+ +\S+ +█{6} +(\S+) +\S+ +█{6}$/m.exec(stdout) ?? [];
    expect(Number(sqnr)).toBeCloseTo(layer.recipes[1].damage.sqnr, 0);
    expect(lines).toContain("  quantize-weights:bits=2,except=Gemm_0");
  });
});

describe("eval", () => {
  test("alone: the score on all records, nothing compared", async () => {
    const { status, found } = await json("eval", model, "--data", data);
    expect(status).toBe(0);
    expect(Object.keys(found)).toEqual(["command", "model", "result"]);
    // The fixture mislabels every tenth record.
    expect(found.result.metric).toMatchObject({
      value: 90,
      n: 60,
      drop: null,
      baseline: null,
      flips: null,
    });
  });

  test("against the original: drop and flips", async () => {
    const out = folder.in("tiny.onnx");
    await run(["compress", model, "--recipe", "prune-magnitude:sparsity=0.9", "-o", out]);
    const { found } = await json("eval", out, "--data", data, "--against", model);
    const { value, baseline, drop, flips } = found.result.metric;
    expect(baseline).toBe(90);
    expect(drop).toBeCloseTo(90 - value, 9);
    expect(flips).toBeGreaterThan(0);
    const same = await json("eval", model, "--data", data, "--against", model);
    expect(same.found.result.metric).toMatchObject({ drop: 0, flips: 0, kl: 0 });
  });
});

describe("data without labels", () => {
  const unlabelled = `jsonl:${folder.in("unlabelled.jsonl")}`;

  test("calibrate, and count changed predictions", async () => {
    const out = folder.in("unlabelled.onnx");
    const recipe = "prune-magnitude:sparsity=0.9 > quantize-int8";
    const args = ["--recipe", recipe, "--data", unlabelled, "-o", out];
    const { found } = await json("compress", model, ...args);
    expect(found.result.metric).toMatchObject({ name: "fidelity", drop: null, n: 48 });
    expect(found.result.metric.flips).toBeGreaterThan(0);
    expect(found.result.ease.data).toBe("unlabelled");
  });

  test("score nothing alone, and eval says so", async () => {
    const { status, stderr, found } = await json("eval", model, "--data", unlabelled);
    expect([status, found.result.metric]).toEqual([0, null]);
    expect(stderr).toMatch(/^tersor: warning: .* has no labels: .*--against\)\n$/);
  });
});

describe("bench", () => {
  test("times all on the same inputs; the first is the yardstick", async () => {
    const { found } = await json("bench", model, folder.in("link.onnx"), "--budget", "0.5s");
    expect(Object.keys(found)).toEqual(["runs"]);
    const [first, second] = found.runs;
    expect(first).toMatchObject({ file: model, ratio: null, ci95: null });
    expect(second.ratio).toBeGreaterThan(0);
    expect(second.ci95[0]).toBeLessThanOrEqual(second.ratio);
    expect(second.latency).toMatchObject({ runtime: "node", threads: 1, batch: 1 });
  });

  test("on the other engine", async () => {
    const { found } = await json("bench", model, "--runtime", "web", "--budget", "0.2s");
    expect(found.runs[0].latency.runtime).toBe("web");
  });
});

describe("methods and doctor", () => {
  test("every method of the table, with its options", async () => {
    const { found } = await json("methods");
    expect(found.methods.map(({ method }: { method: string }) => method)).toEqual(
      Object.keys(table),
    );
    for (const entry of found.methods) {
      expect(entry).toMatchObject({ family: expect.any(String), cite: expect.any(String) });
      // The step pack has nothing to choose.
      expect(entry.options.length === 0).toBe(entry.method === "pack");
    }
    const { stdout } = await run(["methods"]);
    for (const method of Object.keys(table)) expect(stdout).toContain(method);
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });

  test("doctor runs a model on each engine", async () => {
    const { status, found } = await json("doctor");
    expect(status).toBe(0);
    const { engines: wanted } = JSON.parse(
      readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
    );
    expect(wanted.node).toBe(`>=${leastNode}`);
    const versions = ["20.0.0", "20.18.9", "20.19.0", "20.20.2", "22.1.0", "9.99.0"];
    expect(versions.map((version) => isNodeRecent(version))).toEqual([
      ...[false, false, true, true, true, false],
    ]);
    const engines = found.findings.filter(({ name }: { name: string }) => /onnxruntime/.test(name));
    expect(engines.map(({ ok }: { ok: boolean }) => ok)).toEqual([true, true]);
  });
});

describe("help", () => {
  test.each([60, 80, 120])("fits into %i columns, examples apart", async (columns) => {
    const { stdout } = await run([]);
    const names = [...stdout.matchAll(/^ {2}([a-z]+) \[/gm)].map(([, name]) => name);
    for (const name of ["", ...names.filter((name) => name !== "help")]) {
      let text = "";
      await main([...(name ? [name] : []), "--help"], {
        stdout: { write: (part) => (text += part), columns },
        stderr: { write: () => true },
        signal: new AbortController().signal,
        env: {},
      });
      const [help] = text.split("\nExamples:\n");
      for (const line of help.split("\n")) expect(line.length, line).toBeLessThanOrEqual(columns);
    }
  });

  test("lists the commands that exist, and no other", async () => {
    const { status, stdout, stderr } = await run([]);
    expect([status, stderr]).toEqual([0, ""]);
    const listed = [...stdout.matchAll(/^ {2}([a-z]+) \[/gm)].map(([, name]) => name);
    expect(listed).toEqual([
      "inspect",
      "compress",
      "survey",
      "search",
      "advise",
      "eval",
      "train",
      "bench",
      "pack",
      "unpack",
      "renumber",
      "studio",
      "worker",
      "check",
      "methods",
      "doctor",
      "completion",
      "help",
    ]);
    expect((await run(["--help"])).stdout).toBe(stdout);
  });
});
