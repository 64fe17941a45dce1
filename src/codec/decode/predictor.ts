/**
 * @file Predicts the bytes of a graph bit by bit: several contexts, each with its probability and its
 * history, mixed by a small network that learns as it goes (Mahoney 2005, "Adaptive weighing of context
 * models"). Only + - * / on doubles and integers: every engine computes the same bits.
 */

/** What the byte to come is, as the reader of the graph knows it: three hashes. */
export interface Place {
  /** The fields around it, its own, its position in there. */
  path: number;
  /** Operator and attribute around it. */
  head: number;
  /** All of its message so far. */
  message: number;
}

/** Codes one bit by the probability of a one, in 2^16: decodes it, or encodes a known one. */
export type CodeBit = (probability: number) => number;

const contexts = 8;
/** Two of each context, two of the match, one constant. */
const inputs = 2 * contexts + 3;
const slotBits = 17;

export function hash(a: number, b: number): number {
  const h = Math.imul(a ^ Math.imul(b + 0x7f4a7c15, 0x2c1b3c6d), 0x297a2d39);
  return h ^ (h >>> 15);
}

/** ln(p / (1 - p)) at p = (i + 0.5) / 4096: midpoint sums of its derivative 1 / (p (1 - p)). */
const stretched = new Float64Array(4096);
for (let i = 2048; i < 4096; i++) {
  const p = i / 4096;
  const step = 1 / 4096 / p / (1 - p);
  stretched[i] = i === 2048 ? step / 2 : stretched[i - 1] + step;
  stretched[4095 - i] = -stretched[i];
}

/** 1 / (1 + e^-x) with e^-x = (1 - x / 1024)^1024. */
function squash(x: number): number {
  let e = 1 - Math.max(-12, Math.min(12, x)) / 1024;
  for (let i = 0; i < 10; i++) e *= e;
  return 1 / (1 + e);
}

/** Gives a function that codes the next byte, at `place`, and learns it. */
export function createPredictor(place: Place): (code: CodeBit) => number {
  const chance = new Uint16Array(contexts << slotBits).fill(32768);
  const seen = new Uint8Array(contexts << slotBits);
  /** The last bits in a slot, at most 6, behind a leading one. */
  const history = new Uint8Array(contexts << slotBits).fill(1);
  const historyChance = new Float64Array(contexts * 128).fill(0.5);
  /** By length of the match: how often the predicted bit was right. */
  const matchChance = new Float64Array(32).fill(0.75);
  const weights = new Float64Array(3 * 256 * inputs).fill(0.1);
  const x = new Float64Array(inputs);
  const slot = new Int32Array(contexts);
  const bytes: number[] = [];
  /** Position after the last occurrence of four bytes, by their hash. */
  const followed = new Int32Array(1 << 16);
  let match = 0;
  let length = 0;

  function contextHashes(): number[] {
    const n = bytes.length;
    const [a, b, c, d] = [1, 2, 3, 4].map((back) => bytes[n - back] ?? 0);
    const { path, head, message } = place;
    const order2 = hash(a, b);
    const order4 = hash(hash(order2, c), d);
    findMatch(a, order4 & 0xffff);
    return [
      path,
      hash(path, a),
      hash(path, order2),
      hash(path, hash(order2, c)),
      order4,
      hash(path, head),
      hash(message, path),
      hash(message, head),
    ];
  }

  function findMatch(last: number, key: number): void {
    const n = bytes.length;
    if (length > 0 && bytes[match] === last) {
      length++;
      match++;
    } else {
      length = 0;
      match = followed[key];
      while (match > length && length < 32 && bytes[match - 1 - length] === bytes[n - 1 - length]) {
        length++;
      }
    }
    followed[key] = n;
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
      // The byte that followed last time, as long as its bits have come true.
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
