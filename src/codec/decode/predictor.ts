/**
 * @file Predicts the bytes of a graph bit by bit: eight contexts, each with a probability and a bit
 * history, and a match model, mixed by a small network that is trained while it codes (Mahoney
 * 2005, "Adaptive weighing of context models").
 *
 * With the inputs x_i, all of them log-odds, and the weights w_i of the set in use,
 *
 *   p = 1 / (1 + exp(-sum_i w_i x_i))        w_i += 0.01 (bit - p) x_i
 *
 * Only + - * / on doubles and integers are used, which IEEE 754 defines exactly: every engine
 * computes the same probabilities.
 */

/**
 * What is known of the next byte from the grammar of the graph, as three hashes that
 * contexts are made of.
 */
export interface Place {
  /** The enclosing fields, the field itself, and the position in it. */
  path: number;
  /** The operator and the attribute that enclose it. */
  head: number;
  /** All of the enclosing message so far. */
  message: number;
}

/** Decodes one bit, or encodes a known one, given the probability of a 1 in 2^16. */
export type CodeBit = (probability: number) => number;

const contexts = 8;
/** Inputs of the mixer: two for each context, two of the match, one constant. */
const inputs = 2 * contexts + 3;
/** Each context has a table of 2^17 slots. */
const slotBits = 17;

/** Mixes `b` into the hash `a`, both 32-bit integers. */
export function hash(a: number, b: number): number {
  const h = Math.imul(a ^ Math.imul(b + 0x7f4a7c15, 0x2c1b3c6d), 0x297a2d39);
  return h ^ (h >>> 15);
}

/**
 * ln(p / (1 - p)) at p = (i + 0.5) / 4096, as midpoint sums of its derivative 1 / (p (1 - p)),
 * because Math.log differs between engines.
 */
const stretched = new Float64Array(4096);
for (let i = 2048; i < 4096; i++) {
  const p = i / 4096;
  const step = 1 / 4096 / p / (1 - p);
  stretched[i] = i === 2048 ? step / 2 : stretched[i - 1] + step;
  stretched[4095 - i] = -stretched[i];
}

/** 1 / (1 + e^-x), with e^-x approximated by (1 - x / 1024)^1024. */
function squash(x: number): number {
  let e = 1 - Math.max(-12, Math.min(12, x)) / 1024;
  for (let i = 0; i < 10; i++) e *= e;
  return 1 / (1 + e);
}

/** What a predictor knows before the first byte. */
export const nothing = () =>
  [
    // The position of the byte that the match predicts, and how many bytes before it agree.
    [0, 0] as [number, number],
    // The bytes so far.
    [] as number[],
    // The tables of slots, context after context: the probability of a 1, and how often the slot
    // was used.
    new Uint16Array(contexts << slotBits).fill(32768),
    new Uint8Array(contexts << slotBits),
    // The last bits in a slot, at most 6, behind a leading one.
    new Uint8Array(contexts << slotBits).fill(1),
    // For each context and bit history, the probability of a 1.
    new Float64Array(contexts * 128).fill(0.5),
    // By the length of the match, how often the bit that it predicts was right.
    new Float64Array(32).fill(0.75),
    // One set of weights for each partial byte, without a match, with one, and with a long one.
    new Float64Array(3 * 256 * inputs).fill(0.1),
    // The position after the last occurrence of four bytes, by their hash.
    new Int32Array(1 << 16),
  ] as const;

/** What a predictor has learned: an array for each thing, so that a copy is made of all alike. */
export type Learned = ReturnType<typeof nothing>;

/**
 * Makes a predictor that goes on from what was learned, and changes it. The returned function codes
 * the next byte by eight calls of its argument, high bit first, updates the model with it and returns
 * it. The caller keeps `place` up to date.
 */
export function createPredictor(
  place: Place,
  [agreed, bytes, chance, seen, history, historyChance, matchChance, weights, followed] = nothing(),
): (code: CodeBit) => number {
  let [match, length] = agreed;
  const x = new Float64Array(inputs);
  const slot: number[] = [];

  /** The contexts' hashes for the next byte (the table in docs/format.md); moves the match. */
  function contextHashes(): number[] {
    const n = bytes.length;
    const [a, b, c, d] = [1, 2, 3, 4].map((back) => bytes[n - back] ?? 0);
    const { path, head, message } = place;
    const order2 = hash(a, b);
    const order3 = hash(order2, c);
    const order4 = hash(order3, d);
    // Extends the match by the last byte, or finds another by the hash of the last four bytes.
    if (length > 0 && bytes[match] === a) {
      length++;
      match++;
    } else {
      length = 0;
      match = followed[order4 & 0xffff];
      while (match > length && length < 32 && bytes[match - 1 - length] === bytes[n - 1 - length]) {
        length++;
      }
    }
    followed[order4 & 0xffff] = n;
    agreed[0] = match;
    agreed[1] = length;
    return [
      path,
      hash(path, a),
      hash(path, order2),
      hash(path, order3),
      order4,
      hash(path, head),
      hash(message, path),
      hash(message, head),
    ];
  }

  return (code) => {
    const hashes = contextHashes();
    let partial = 1;
    for (let left = 7; left >= 0; left--) {
      let k = 0;
      for (let i = 0; i < contexts; i++) {
        const at = (i << slotBits) + (hash(hashes[i] + i, partial) >>> (32 - slotBits));
        slot[i] = at;
        x[k++] = seen[at] === 0 ? 0 : stretched[chance[at] >>> 4];
        x[k++] = stretched[(historyChance[(i << 7) + history[at]] * 4096) | 0];
      }
      // The match predicts the byte that followed last time, as long as that byte's bits have been
      // right.
      const expected = bytes[match] | 256;
      const holds = length > 0 && expected >>> (left + 1) === partial;
      const likely = (expected >>> left) & 1;
      const size = Math.min(length, 31);
      const sure = holds ? stretched[(matchChance[size] * 4096) | 0] : 0;
      x[k++] = likely ? sure : -sure;
      x[k++] = holds ? likely - 0.5 : 0;
      x[k++] = 0.3;
      const set = ((holds ? (size > 15 ? 512 : 256) : 0) + partial) * inputs;
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += weights[set + i] * x[i];
      const p = squash(sum);
      const bit = code(Math.max(24, Math.min(65512, (p * 65536) | 0)));

      const error = (bit - p) * 0.01;
      for (let i = 0; i < inputs; i++) weights[set + i] += error * x[i];
      for (let i = 0; i < contexts; i++) {
        const at = slot[i];
        if (seen[at] < 30) seen[at]++;
        chance[at] += ((bit * 65535 - chance[at]) / (seen[at] + 0.5)) | 0;
        const h = history[at];
        historyChance[(i << 7) + h] += (bit - historyChance[(i << 7) + h]) * 0.01;
        history[at] = h < 64 ? h * 2 + bit : 64 | ((h * 2) & 62) | bit;
      }
      if (holds) matchChance[size] += ((bit === likely ? 1 : 0) - matchChance[size]) * 0.02;
      partial = partial * 2 + bit;
    }
    bytes.push(partial & 255);
    return partial & 255;
  };
}
