/** @file Truncated SVD: one layer becomes two thin ones. */
import { z } from "zod";
import type { Node, Value } from "../../ir/graph.ts";
import { energyRank, type Svd, svd } from "../../numeric/svd.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { biasOf } from "../../ops/weights.ts";
import { siteOptions } from "../../weights/select.ts";
import { type LayerSite, layersOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

export const factorSvd = defineMethod({
  title: "truncated SVD",
  cite: "Denil et al. 2013, arXiv 1306.0543; Denton et al. 2014, arXiv 1404.0736",
  summary:
    "W = U V with few columns: two thin layers do less work than one, below the break-even rank.",
  needs: [],
  options: z.object({
    energy: z
      .number()
      .min(0.01)
      .max(1)
      .default(0.9)
      .meta({
        description:
          "Share of the squared singular values to keep; decides the rank of each layer.",
        search: [0.7, 0.8, 0.9, 0.95],
      }),
    multiple: z
      .int()
      .min(1)
      .max(64)
      .default(8)
      .meta({
        description: "Ranks above this are rounded up to a multiple of it; engines like 8 or 16.",
        search: [8, 16],
      }),
    ...siteOptions,
  }),
  survey: [{ energy: 0.9 }, { energy: 0.7 }],
  neutral: { energy: 1 },
  async apply(model, { energy, multiple, only, except }, context) {
    const sites = layersOf(model, { only, except }, context, 1024);
    for (const [i, site] of sites.entries()) {
      await context.progress(i, sites.length);
      const matrix = toMatrix(site);
      if (typeof matrix === "string") {
        context.skip(site.node.name, matrix);
        continue;
      }
      const { rows, columns, values } = matrix;
      const parts = svd(values, rows, columns);
      const wanted = energyRank(parts.s, energy);
      const rank = wanted > multiple ? Math.ceil(wanted / multiple) * multiple : wanted;
      const breakEven = (rows * columns) / (rows + columns);
      if (rank >= breakEven) {
        const limit = Math.ceil(breakEven) - 1;
        context.skip(site.node.name, `needs rank ${rank}; only ${limit} or less would save work`);
        continue;
      }
      replaceLayer(site, factorsOf(parts, rows, columns, rank), rank);
    }
  },
});

interface Matrix {
  /** Outputs. */
  readonly rows: number;
  /** Inputs (times kernel positions for a convolution). */
  readonly columns: number;
  /** Row-major [rows, columns]. */
  readonly values: Float32Array;
}

/** The layer as y = W x; a reason when it has no such form. */
function toMatrix({ node, role, value, weight }: LayerSite): Matrix | string {
  const { shape, values } = weight;
  if (value.consumers.length > 1) return "its weight is shared by several layers";
  if (role.kind === "conv") {
    if (role.groups !== 1) return "is a grouped convolution";
    return { rows: shape[0], columns: values.length / shape[0], values };
  }
  if (role.kind !== "linear" || shape.length !== 2)
    return `${node.op} has no form of two thin layers`;
  if (node.op === "MatMul" && node.inputs[1] !== value) return "its weight is the left operand";
  if (node.op === "Gemm" && (node.int("transA", 0) !== 0 || node.inputs[1] !== value)) {
    return "its input is transposed";
  }
  if (role.outputAxis === 0) return { rows: shape[0], columns: shape[1], values };
  return { rows: shape[1], columns: shape[0], values: transpose(values, shape[0], shape[1]) };
}

function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = values[i * columns + j];
  }
  return result;
}

interface Factors {
  /** [rank, columns], applied first. */
  readonly down: Float32Array;
  /** [rows, rank], applied second. */
  readonly up: Float32Array;
}

/** The singular values go half to each side, so that both factors have weights of like size. */
function factorsOf({ u, s, v }: Svd, rows: number, columns: number, rank: number): Factors {
  const thin = s.length;
  const down = new Float32Array(rank * columns);
  const up = new Float32Array(rows * rank);
  for (let k = 0; k < rank; k++) {
    const root = Math.sqrt(s[k]);
    for (let j = 0; j < columns; j++) down[k * columns + j] = root * v[j * thin + k];
    for (let i = 0; i < rows; i++) up[i * rank + k] = root * u[i * thin + k];
  }
  return { down, up };
}

function replaceLayer(
  { node, value, role, weight }: LayerSite,
  factors: Factors,
  rank: number,
): void {
  const g = build(node.graph, node.name);
  const output =
    role.kind === "conv"
      ? thinConvs(g, node, weight.shape, factors, rank)
      : thinLinears(g, node, weight.shape[role.outputAxis], factors, rank);
  if (!node.output.isOutput) output.name = node.output.name;
  node.graph.replace(node.output, output);
  node.graph.remove(node);
  if (value.tensor && value.uses.size === 0) value.graph.removeConstant(value);
}

// Conv(x, W) -> Conv1x1(Conv(x, down), up)
function thinConvs(
  g: Builder,
  node: Node,
  shape: readonly number[],
  { down, up }: Factors,
  rank: number,
): Value {
  const first = g.constant(down, { shape: [rank, ...shape.slice(1)], name: "down" });
  const second = g.constant(up, {
    shape: [shape[0], rank, ...shape.slice(2).map(() => 1)],
    name: "up",
  });
  const thin = node.graph.add("Conv", [node.inputs[0], first], {
    name: `${node.name}/down`,
    attributes: node.attributes,
  });
  return g.Conv(thin.output, second, biasOf(node));
}

// Gemm(x, W, b) -> Gemm(MatMul(x, down), up, b)
function thinLinears(
  g: Builder,
  node: Node,
  rows: number,
  { down, up }: Factors,
  rank: number,
): Value {
  const columns = down.length / rank;
  const first = g.constant(transpose(down, rank, columns), {
    shape: [columns, rank],
    name: "down",
  });
  const second = g.constant(transpose(up, rows, rank), { shape: [rank, rows], name: "up" });
  if (node.op === "MatMul") return g.MatMul(g.MatMul(node.inputs[0], first), second);
  const alpha = node.float("alpha", 1);
  const beta = node.float("beta", 1);
  return g.Gemm(g.MatMul(node.inputs[0], first), second, node.inputs[2], { alpha, beta });
}
