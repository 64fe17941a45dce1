/** @file Reports made up for the tests: a LeNet-5 survey (12 recipes) and a 60-layer mobile net. */
import { defaultThresholds, marksOf, opinions } from "../../src/measure/marks.ts";
import { type Metric, type Result, type Skip, untimed } from "../../src/measure/measurement.ts";
import type { BenchRun, Inspection, Layer, Report } from "../../src/report/report.ts";

const thresholds = defaultThresholds;

interface Facts {
  recipe: string;
  family: string;
  raw: number;
  brotli: number | null;
  packed?: number;
  params: number;
  nonzeros?: number;
  macs?: number | null;
  /** Median ms. */
  ms: number | null;
  accuracy: number | null;
  flips?: number;
  data?: Result["ease"]["data"];
  training?: boolean;
  seconds?: number;
  skipped?: Skip[];
  warnings?: string[];
}

function metricOf(facts: Facts, base: Facts): Metric | null {
  if (facts.accuracy === null) return null;
  const p = facts.accuracy / 100;
  const half = 196 * Math.sqrt((p * (1 - p)) / 10_000);
  const round = (n: number) => Math.round(n * 100) / 100;
  return {
    name: "accuracy",
    value: facts.accuracy,
    baseline: base.accuracy,
    drop: round(base.accuracy! - facts.accuracy),
    ci95: [round(facts.accuracy - half), round(facts.accuracy + half)],
    dropCi95: facts === base ? null : dropInterval(base.accuracy! - facts.accuracy, facts.flips),
    flips: facts.flips ?? 0,
    kl: (facts.flips ?? 0) / 400,
    sqnr: null,
    exact: false,
    n: 10_000,
  };
}

/** The normal interval of a drop, as if half of what flipped was right before or is right now. */
function dropInterval(drop: number, flips = 0): [number, number] {
  const half = 1.96 * Math.sqrt(flips / 100 / 10_000) * 100;
  return [drop - half, drop + half];
}

/** A speed-up with an interval of 3 % on both sides. */
const about = (value: number | null) =>
  value === null ? null : ([value * 0.97, value * 1.03] as const);

/** A whole row from the figures that differ; rates and marks follow from the first row. */
function rowOf(facts: Facts, base: Facts): Result {
  const metric = metricOf(facts, base);
  const alpha = {
    params: base.params / facts.params,
    bytes: base.raw / facts.raw,
    brotli: facts.brotli && base.brotli ? base.brotli / facts.brotli : null,
  };
  const infer = facts.ms && base.ms ? base.ms / facts.ms : null;
  // As if simplifying alone gave 2 %, and training had the speed-up of inference.
  const recipe = infer !== null && /[:-]/.test(facts.recipe) ? infer / 1.02 : null;
  const train = facts.training ? infer : null;
  const judged = {
    metric,
    alpha,
    delta:
      facts === base
        ? { ...untimed, infer: 1 }
        : {
            infer,
            recipe,
            train,
            ci95: { infer: about(infer), recipe: about(recipe), train: about(train) },
          },
    ease: {
      data: facts.data ?? "none",
      training: facts.training ?? false,
      seconds: facts.seconds ?? 2,
      covered: facts === base ? 0 : 0.98,
    },
  };
  return {
    recipe: facts.recipe,
    family: facts.family,
    file: `out/${facts.recipe.replace(/[^a-z0-9]+/g, "-")}.onnx`,
    bytes: {
      raw: facts.raw,
      gzip: facts.brotli && Math.round(facts.brotli * 1.06),
      brotli: facts.brotli,
      packed: facts.packed ?? null,
    },
    params: facts.params,
    nonzeros: facts.nonzeros ?? facts.params,
    macs: facts.macs === undefined ? (base.macs ?? null) : facts.macs,
    latency: facts.ms
      ? {
          median: facts.ms,
          p90: facts.ms * 1.08,
          clock: "cpu",
          runtime: "onnxruntime-node 1.30.0 cpu",
          threads: 1,
          batch: 1,
          n: 400,
        }
      : null,
    beta: { survey: alpha.params - 1, saved: 1 - 1 / alpha.bytes },
    ...judged,
    marks: marksOf(judged),
    skipped: facts.skipped ?? [],
    warnings: facts.warnings ?? [],
    seed: 1,
    versions: { tersor: "0.1.0", "onnxruntime-node": "1.30.0", node: "20.20.2" },
  };
}

const lenetBase: Facts = {
  recipe: "original",
  family: "control",
  raw: 1_725_893,
  brotli: 1_589_120,
  packed: 1_441_300,
  params: 431_080,
  macs: 2_293_000,
  ms: 0.231,
  accuracy: 99.13,
};

const small = (node: string): Skip => ({
  node,
  method: "factor-svd",
  reason: `rank 8 of ${node === "ip2" ? 10 : 20} is above the break-even`,
});
const lenetFacts: Facts[] = [
  { ...lenetBase, recipe: "simplify", raw: 1_724_911, brotli: 1_588_700, ms: 0.226 },
  {
    recipe: "prune-random:sparsity=0.9",
    family: "control",
    raw: 1_724_911,
    brotli: 212_400,
    packed: 181_900,
    params: 431_080,
    nonzeros: 43_660,
    ms: 0.227,
    accuracy: 31.42,
    flips: 68.31,
  },
  {
    recipe: "quantize-int8",
    family: "quantization",
    raw: 441_230,
    brotli: 371_004,
    packed: 348_210,
    params: 431_080,
    nonzeros: 418_002,
    ms: 0.118,
    accuracy: 99.09,
    flips: 0.11,
    data: "unlabelled",
  },
  {
    recipe: "share-weights:bits=5 > train:epochs=2 > pack",
    family: "quantization",
    raw: 452_764,
    brotli: 251_700,
    packed: 240_877,
    params: 431_208,
    ms: 0.232,
    accuracy: 99.11,
    flips: 0.09,
    data: "labelled",
    training: true,
    seconds: 131,
  },
  {
    recipe: "binarize:first-last=float > train:epochs=5",
    family: "quantization",
    raw: 101_312,
    brotli: 71_030,
    packed: 66_481,
    params: 431_150,
    ms: 0.244,
    accuracy: 96.87,
    flips: 2.61,
    data: "labelled",
    training: true,
    seconds: 344,
    warnings: ["training stopped at the time budget after 4 of 5 epochs"],
  },
  {
    recipe: "prune-magnitude:sparsity=0.92 > train:epochs=3 > share-weights:bits=5 > train > pack",
    family: "pruning",
    raw: 171_402,
    brotli: 47_900,
    packed: 43_812,
    params: 36_004,
    nonzeros: 34_486,
    ms: 0.229,
    accuracy: 99.18,
    flips: 0.21,
    data: "labelled",
    training: true,
    seconds: 412,
    warnings: ["zeros in a dense kernel do not make it faster"],
  },
  {
    recipe: "prune-channels:ratio=0.5 > train:epochs=3",
    family: "pruning",
    raw: 447_981,
    brotli: 413_205,
    packed: 376_004,
    params: 111_540,
    macs: 702_000,
    ms: 0.122,
    accuracy: 98.94,
    flips: 0.52,
    data: "labelled",
    training: true,
    seconds: 187,
  },
  {
    recipe: "circulant:block=50 > train:epochs=3",
    family: "structured",
    raw: 143_512,
    brotli: 129_880,
    packed: 118_774,
    params: 35_090,
    macs: 2_293_000,
    ms: 0.301,
    accuracy: 98.71,
    flips: 0.83,
    data: "labelled",
    training: true,
    seconds: 265,
    skipped: ["conv1", "conv2", "ip2"].map((node) => ({
      node,
      method: "circulant",
      reason: "not a fully connected layer of at least 64 x 64",
    })),
  },
  {
    recipe: "factor-svd:energy=0.9",
    family: "low-rank",
    raw: 391_770,
    brotli: 363_890,
    packed: 331_012,
    params: 97_330,
    macs: 1_959_000,
    ms: 0.169,
    accuracy: 98.52,
    flips: 0.97,
    skipped: ["conv1", "ip2"].map(small),
  },
  {
    recipe: "tie-filters > train:epochs=3",
    family: "filters",
    raw: 1_679_204,
    brotli: 1_548_610,
    packed: 1_404_377,
    params: 419_580,
    ms: 0.238,
    accuracy: 99.02,
    flips: 0.34,
    data: "labelled",
    training: true,
    seconds: 203,
    skipped: ["ip1", "ip2"].map((node) => ({
      node,
      method: "tie-filters",
      reason: "is not a convolution",
    })),
  },
  {
    recipe: "distill:student=half > quantize-int8",
    family: "distillation",
    raw: 114_067,
    brotli: 96_112,
    packed: 90_208,
    params: 108_300,
    macs: 690_000,
    ms: 0.071,
    accuracy: 98.97,
    flips: 0.48,
    data: "labelled",
    training: true,
    seconds: 538,
    warnings: ["training stopped at the time budget after 7 of 8 epochs"],
  },
];

function layersOf(list: readonly Omit<Layer, "share">[]): Layer[] {
  const sum = (key: (l: Omit<Layer, "share">) => number | null) =>
    list.reduce((total, layer) => total + (key(layer) ?? 0), 0);
  const [bytes, macs, ms] = [sum((l) => l.bytes), sum((l) => l.macs), sum((l) => l.ms)];
  return list.map((layer) => ({
    ...layer,
    share: {
      bytes: layer.bytes / bytes,
      macs: layer.macs === null ? null : layer.macs / macs,
      ms: layer.ms === null ? null : layer.ms / ms,
    },
  }));
}

const weighted = (
  name: string,
  op: string,
  shape: number[],
  bias: number,
  macs: number,
  ms: number,
): Omit<Layer, "share"> => {
  const params = shape.reduce((a, b) => a * b, 1) + bias;
  return { name, op, shape, params, bytes: params * 4, macs, ms };
};

/** The twelve-recipe survey of LeNet-5 (431,080 parameters) on MNIST. */
export function lenet(): Report {
  const baseline = rowOf(lenetBase, lenetBase);
  return {
    command: "survey",
    model: {
      name: "lenet5.onnx",
      bytes: 1_725_893,
      params: 431_080,
      macs: 2_293_000,
      opset: 21,
      inputs: [{ name: "data", dtype: "float32", shape: ["N", 1, 28, 28] }],
      outputs: [{ name: "prob", dtype: "float32", shape: ["N", 10] }],
      hash: "sha256:5f2b1c9d0e7a4431",
    },
    layers: layersOf([
      weighted("conv1", "Conv", [20, 1, 5, 5], 20, 288_000, 0.061),
      weighted("conv2", "Conv", [50, 20, 5, 5], 50, 1_600_000, 0.094),
      weighted("ip1", "Gemm", [500, 800], 500, 400_000, 0.058),
      weighted("ip2", "Gemm", [10, 500], 10, 5_000, 0.003),
    ]),
    baseline,
    results: lenetFacts.map((facts) => rowOf(facts, lenetBase)),
    pareto: [
      "quantize-int8",
      "prune-magnitude:sparsity=0.92 > train:epochs=3 > share-weights:bits=5 > train > pack",
      "distill:student=half > quantize-int8",
      "binarize:first-last=float > train:epochs=5",
    ],
    errors: [
      {
        recipe: "quantize-int8",
        layers: [
          { name: "conv1", sqnr: 38.2 },
          { name: "conv2", sqnr: 33.9 },
          { name: "ip1", sqnr: 35.4 },
          { name: "ip2", sqnr: 31.8 },
        ],
      },
      {
        recipe: "factor-svd:energy=0.9",
        layers: [
          { name: "conv1", sqnr: Number.POSITIVE_INFINITY },
          { name: "conv2", sqnr: 14.3 },
          { name: "ip1", sqnr: 11.2 },
          { name: "ip2", sqnr: 10.8 },
        ],
      },
    ],
    thresholds,
    opinions,
    data: "mnist:test",
    platform: "node 20.20.2 linux x64, 2 cores",
    commandLine: "tersor survey lenet5.onnx --data mnist:test --calib mnist:train -o out",
    seconds: 2291,
    date: "2025-11-22T12:40:00Z",
  };
}

/** MobileNet v2 shaped layers: 60 of them, with an 1x1 expansion, a depthwise and a projection each. */
function mobileLayers(): Layer[] {
  const layers = [weighted("conv_stem", "Conv", [32, 3, 3, 3], 32, 10_838_016, 1.21)];
  let [width, size] = [32, 112];
  for (let block = 1; layers.length < 58; block++) {
    const expanded = width * (block === 1 ? 1 : 6);
    const next = Math.min(320, 16 + 16 * block);
    const area = size * size;
    if (block % 3 === 0 && size > 7) size /= 2;
    const name = (part: string) => `features.${block}/${part}`;
    layers.push(
      weighted(
        name("expand/Conv"),
        "Conv",
        [expanded, width, 1, 1],
        expanded,
        expanded * width * area,
        (expanded * width * area) / 58e6,
      ),
      weighted(
        name("depthwise/Conv"),
        "Conv",
        [expanded, 1, 3, 3],
        expanded,
        expanded * 9 * size * size,
        (expanded * 9 * size * size) / 19e6,
      ),
      weighted(
        name("project/Conv"),
        "Conv",
        [next, expanded, 1, 1],
        next,
        expanded * next * size * size,
        (expanded * next * size * size) / 61e6,
      ),
    );
    width = next;
  }
  layers.push(
    weighted("conv_head", "Conv", [1280, width, 1, 1], 1280, 1280 * width * 49, 0.9),
    weighted("classifier", "Gemm", [1000, 1280], 1000, 1_280_000, 0.31),
  );
  return layersOf(layers.slice(0, 60));
}

/** A wide model without labels and partly without latency; long node names, many skips. */
export function mobile(): Report {
  const layers = mobileLayers();
  const params = layers.reduce((sum, l) => sum + l.params, 0);
  const macs = layers.reduce((sum, l) => sum + (l.macs ?? 0), 0);
  const base: Facts = {
    recipe: "original",
    family: "control",
    raw: params * 4 + 21_000,
    brotli: Math.round(params * 3.7),
    params,
    macs,
    ms: 39.4,
    accuracy: 71.88,
  };
  const facts: Facts[] = [
    {
      ...base,
      recipe: "quantize-int8",
      family: "quantization",
      raw: params + 180_000,
      brotli: Math.round(params * 0.84),
      ms: 15.1,
      accuracy: 70.9,
      flips: 9.2,
      data: "unlabelled",
      skipped: layers
        .filter((l) => l.shape[1] === 1)
        .map((l, i) => ({
          node: l.name,
          method: "quantize-int8",
          reason: `depthwise weights span ${4 + (i % 5)} octaves, kept in float`,
        })),
    },
    {
      ...base,
      recipe: "factor-tucker:energy=0.95",
      family: "low-rank",
      raw: Math.round(params * 2.9),
      brotli: Math.round(params * 2.7),
      ms: 42.8,
      accuracy: 64.1,
      flips: 22.4,
    },
    {
      ...base,
      recipe: "fp16",
      family: "quantization",
      raw: params * 2 + 20_000,
      brotli: null,
      ms: null,
      accuracy: 71.87,
      flips: 0.1,
    },
  ];
  const results = facts.map((f) => rowOf(f, base));
  return {
    ...lenet(),
    model: {
      name: "mobilenet_v2.onnx",
      bytes: base.raw,
      params,
      macs,
      opset: 21,
      inputs: [{ name: "input", dtype: "float32", shape: ["batch_size", 3, 224, 224] }],
      outputs: [{ name: "output", dtype: "float32", shape: ["batch_size", 1000] }],
      hash: "sha256:00c0ffee",
    },
    layers,
    baseline: rowOf(base, base),
    results,
    pareto: ["quantize-int8", "fp16"],
    errors: [
      {
        recipe: "quantize-int8",
        layers: layers.map((l, i) => ({ name: l.name, sqnr: 18 + ((i * 37) % 23) })),
      },
    ],
    commandLine: "tersor survey mobilenet_v2.onnx --data images:val.zip --budget 10m",
    data: "images:val.zip",
    seconds: 611,
  };
}

export function inspection(report: Report): Inspection {
  const { model, layers } = report;
  const sum = (key: (l: Layer) => number | null) =>
    layers.reduce((total, layer) => total + (key(layer) ?? 0), 0);
  return {
    model,
    totals: {
      layers: layers.length,
      params: sum((l) => l.params),
      bytes: sum((l) => l.bytes),
      macs: sum((l) => l.macs),
      ms: sum((l) => l.ms),
      clock: "cpu",
      threads: 1,
    },
    layers,
  };
}

/** Names that try to leave their place: markup, table cells, escape sequences, direction marks. */
export function hostile(): Report {
  const report = lenet();
  const bad = [
    "<script>alert(1)</script>",
    "\"' onload=alert(1) x='",
    "a|b`c``d\n| e |",
    "\u001b[2J\u202egnp\u0007",
    "</style></title><img src=x onerror=alert(1)>",
    "模型".repeat(40),
    "[x](javascript:alert(1))",
  ];
  const name = (i: number) => bad[i % bad.length];
  const results = report.results.map((row, i) => ({
    ...row,
    recipe: `${name(i)} > ${row.recipe}`,
    family: i === 3 ? "__proto__" : i === 4 ? "<b>" : row.family,
    warnings: [name(i + 1)],
    skipped: [{ node: name(i + 2), method: name(i), reason: name(i + 3) }],
    versions: { [name(i)]: name(i + 1) },
  }));
  return {
    ...report,
    model: {
      ...report.model,
      name: bad[4],
      hash: bad[1],
      inputs: [{ name: bad[0], dtype: bad[2], shape: [bad[3], null] }],
    },
    layers: report.layers.map((layer, i) => ({ ...layer, name: name(i), op: name(i + 1) })),
    results,
    pareto: results.slice(0, 3).map((row) => row.recipe),
    errors: [{ recipe: results[2].recipe, layers: bad.map((name) => ({ name, sqnr: 20 })) }],
    data: bad[0],
    platform: bad[4],
    commandLine: `tersor survey ${bad[4]} ${bad[1]}`,
  };
}

/** Data without labels: no drops, only flips against the original. */
export function unlabelled(): Report {
  const report = lenet();
  const results = report.results.map((row) => {
    const metric = { ...row.metric!, name: "fidelity", value: 31.5, baseline: null, drop: null };
    return { ...row, metric, marks: marksOf({ ...row, metric }) };
  });
  return { ...report, results, baseline: { ...report.baseline, metric: null } };
}

/** Data without labels and outputs that are no class scores: no drops and no flips. */
export function unlabelledMaps(): Report {
  const report = unlabelled();
  const results = report.results.map((row, i) => {
    const exact = i === 0;
    const value = exact ? Number.POSITIVE_INFINITY : 40 - 2 * i;
    const metric = { ...row.metric!, value, sqnr: value, exact, flips: null, kl: null };
    return { ...row, metric, marks: marksOf({ ...row, metric }) };
  });
  return { ...report, results };
}

/** A survey without data: sizes and times only. */
export function withoutData(): Report {
  const report = lenet();
  const blind = (row: Result): Result => ({
    ...row,
    metric: null,
    marks: marksOf({ ...row, metric: null }),
  });
  const [baseline, results] = [blind(report.baseline), report.results.map(blind)];
  return { ...report, baseline, results, errors: [], data: null };
}

export function benchRuns(): BenchRun[] {
  const { baseline, results } = lenet();
  return [baseline, results[2], results[10]].map((row, i) => ({
    file: row.file ?? "lenet5.onnx",
    bytes: row.bytes.raw,
    latency: row.latency!,
    ratio: i ? row.delta.infer : null,
    ci95: i ? [row.delta.infer! - 0.03, row.delta.infer! + 0.04] : null,
  }));
}

/** Element and attribute names as an HTML parser would see them; values are dropped. */
export function attributesOf(page: string): string[] {
  const bare = page.replace(/<(style|script)>[^]*?<\/\1>/g, "");
  return [...bare.matchAll(/<([a-z][\w-]*)((?:\s+[\w-]+(?:="[^"]*")?)*)\s*>/gi)].flatMap(
    ([, name, list]) =>
      [...list.matchAll(/\s([\w-]+)(="[^"]*")?/g)].map(([, attribute]) => `${name} ${attribute}`),
  );
}

/** Throws unless every element is closed in order and every attribute is quoted. */
export function checkMarkup(text: string): void {
  const open: string[] = [];
  const bare = text.replace(/<(style|script)>[^]*?<\/\1>/g, "");
  for (const [tag, slash, name, attributes] of bare.matchAll(/<(\/?)([^\s<>]*)([^<>]*)>/g)) {
    if (!/^[a-z][a-z0-9]*$/i.test(name)) throw new Error(`no element: ${tag}`);
    if (slash) {
      if (open.pop() !== name) throw new Error(`closed out of order: ${tag}`);
      continue;
    }
    if (attributes.replace(/ [a-zA-Z][a-zA-Z0-9-]*="[^"<>]*"/g, ""))
      throw new Error(`attributes of ${tag}`);
    if (!["meta", "br", "wbr", "input"].includes(name)) open.push(name);
  }
  if (open.length) throw new Error(`left open: ${open.join(" ")}`);
  const outside = bare.replace(/<[^<>]*>/g, "");
  if (/[<>]|&(?!(amp|lt|gt|quot|#39);)/.test(outside)) throw new Error("unescaped text");
}
