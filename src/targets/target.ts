/**
 * @file Target: where a model will run, and what that rewards.
 *
 * A target is a table of facts with their sources. What chooses a representation, judges one or warns of
 * one asks the table; nothing else knows a target by its name.
 */

/** How a layer is stored and computed, other than in float32. */
export const representations = {
  "static-int8": "static int8 (QDQ)",
  "dynamic-int8": "dynamic int8",
  "weights-8": "8-bit weights in MatMulNBits",
  "weights-4": "4-bit weights in MatMulNBits",
  "weights-2": "2-bit weights in MatMulNBits",
  "rows-4": "4-bit rows in GatherBlockQuantized",
  float16: "float16 arithmetic",
} as const;
export type Representation = keyof typeof representations;

/** Kinds of layers as engines tell them apart. */
export const works = {
  "product-1": "matrix product, 1 row",
  "product-128": "matrix product, 128 rows",
  dense: "convolution 3x3",
  pointwise: "convolution 1x1",
  depthwise: "depthwise convolution",
  gate: "convolution 1x1 and SiLU",
  "look-up": "rows of a table",
} as const;
export type Work = keyof typeof works;

/** Where a fact is from: a bench of this project, or a publication. */
export interface Source {
  readonly kind: "measured" | "published";
  /** A file of the project, or an address. */
  readonly where: string;
}

/** What a representation does for a kind of layers. */
export interface Fact {
  /** float32 time / its time: above 1 is faster. Null where there is no figure. */
  readonly speedup: number | null;
  /** Whether it is worth it there: by the figure, or because the source tells of kernels for it. */
  readonly pays: boolean;
  /** What is wrong with it, as a predicate: "has no kernel on the GPU". Null if nothing. */
  readonly problem: string | null;
  readonly source: Source;
}

export type Facts = Readonly<Partial<Record<Representation, Partial<Record<Work, Fact>>>>>;

/** Points (x, speed-up), by rising x; between them the speed-up is linear in log x. */
export type Curve = readonly (readonly [x: number, speedup: number])[];

/** How many times as fast layers are in static int8, by their size, before anything is measured. */
export interface Int8Gains {
  /** Kernels of several positions along two axes, by channels: the fewer of inputs and outputs. */
  readonly spatial: Curve;
  /** The same along one axis. */
  readonly line: Curve;
  /** Kernels of one position: by channels, then by the side of the map. */
  readonly pointwise: Readonly<Record<number, Curve>>;
  /** By channels or by the side of the map; `line` is that of kernels along one axis. */
  readonly depthwise: {
    readonly by: "channels" | "side";
    readonly curve: Curve;
    readonly line: number;
  };
  /** By channels of a group. */
  readonly grouped: Curve;
  /** Matrix products: by the fewer of inputs and outputs, then by rows of a run. */
  readonly products: Readonly<Record<number, Curve>>;
  /**
   * Whether a depthwise convolution between int8 layers is better in int8 too, because to convert its
   * input and output costs more than it loses.
   */
  readonly takesDepthwiseAlong: boolean;
  /**
   * MACs in float32 that take as long as converting one element, to uint8 or back, where layers on
   * integers meet others.
   */
  readonly conversion: number;
}

/** A size that files or memory must not exceed. */
export interface Limit {
  readonly bytes: number;
  /** What the limit is of, as the end of a sentence. */
  readonly what: string;
  readonly source: Source;
}

export interface TargetDevice {
  readonly id: string;
  readonly title: string;
  /** The build of ONNX Runtime that judges models for it, and times them on such a machine. */
  readonly engine: "node" | "web";
  /** Null: there are no integer kernels. */
  readonly int8: Int8Gains | null;
  /**
   * Says that int8 sums saturate at 16 bits (vpmaddubsw), so that weights need 7 bits where they do; null:
   * they do not.
   */
  readonly saturates: Source | null;
  /** Channels that a float convolution computes at once; 1: any number of them is as good. */
  readonly channelBlock: number;
  /** Speed-ups and troubles by representation and kind of layer. */
  readonly facts: Facts;
  readonly limits: readonly Limit[];
  /** What else decides between representations, each with its source. */
  readonly notes: readonly { readonly text: string; readonly source: Source }[];
}

export const measured = (where: string): Source => ({ kind: "measured", where });
export const published = (where: string): Source => ({ kind: "published", where });

/** Speed-ups within this of 1 are none. */
const SAME = 0.1;

/** Facts that are figures of one source. */
export function figures(
  source: Source,
  speedups: Partial<Record<Work, number>>,
): Partial<Record<Work, Fact>> {
  return Object.fromEntries(
    Object.entries(speedups).map(([work, speedup]) => {
      const isSlow = speedup < 1 - SAME;
      const problem = isSlow ? `runs at ${speedup} of the speed of float32` : null;
      return [work, { speedup, pays: speedup > 1 + SAME, problem, source }];
    }),
  );
}

/** The same fact in words for several kinds of layers. */
export function words(
  source: Source,
  on: readonly Work[],
  { pays = false, problem = null }: { readonly pays?: boolean; readonly problem?: string | null },
): Partial<Record<Work, Fact>> {
  return Object.fromEntries(on.map((work) => [work, { speedup: null, pays, problem, source }]));
}

/** What is known of a representation for a kind of layer; null if nothing. */
export const factOf = (
  target: Pick<TargetDevice, "facts">,
  representation: Representation,
  work: Work,
): Fact | null => target.facts[representation]?.[work] ?? null;

/** What is against a representation for a kind of layer, as a sentence with its source; null if nothing. */
export function troubleOf(
  target: Pick<TargetDevice, "id" | "facts">,
  representation: Representation,
  work: Work,
): { readonly text: string; readonly source: Source } | null {
  const fact = factOf(target, representation, work);
  if (!fact?.problem) return null;
  const what = `${representations[representation]} (${works[work]})`;
  return { text: `on ${target.id} ${what} ${fact.problem}`, source: fact.source };
}

/** Whether a representation is faster there for some of these kinds of layers, as far as is known. */
export const pays = (
  target: Pick<TargetDevice, "facts">,
  representation: Representation,
  ...among: readonly Work[]
): boolean => {
  const known = target.facts[representation] ?? {};
  const asked = among.length > 0 ? among : (Object.keys(known) as Work[]);
  return asked.some((work) => known[work]?.pays ?? false);
};
