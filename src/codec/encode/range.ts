/** @file Adaptive binary range encoder: the mirror of decode/range.ts. */
import type { BitCoder } from "../decode/range.ts";

/** Writes the bits that a model predicts. `finish` gives the shortest bytes that decode to them. */
export class RangeEncoder implements BitCoder {
  #low = 0; // < 2^32; a carry is added to the bytes already written
  #range = 0x7fffffff;
  #bytes = new Uint8Array(1024);
  #length = 0;

  code(p: number, bit: number): number {
    const bound = (this.#range >>> 16) * p;
    if (bit) this.#narrow(0, bound);
    else this.#narrow(bound, this.#range - bound);
    return bit;
  }

  plain(bits: number, count: number): number {
    const range = this.#range >>> count;
    this.#narrow(bits * range, range);
    return bits;
  }

  /** Narrows the interval to [low + from, low + from + range) and writes settled bytes. */
  #narrow(from: number, range: number): void {
    this.#low += from;
    this.#range = range;
    if (this.#low > 0xffffffff) {
      this.#low -= 0x100000000;
      this.#carry();
    }
    while (this.#range < 0x800000) {
      this.#put(this.#low >>> 24);
      this.#low = (this.#low << 8) >>> 0;
      this.#range <<= 8;
    }
  }

  /**
   * The bytes of some value in [low, low + range), as few as possible; the decoder reads zeros
   * after them.
   */
  finish(): Uint8Array<ArrayBuffer> {
    for (let bytes = 0; bytes <= 4; bytes++) {
      const unit = 2 ** (32 - 8 * bytes);
      const value = Math.ceil(this.#low / unit) * unit;
      if (value >= this.#low + this.#range) continue;
      if (value > 0xffffffff) this.#carry();
      for (let i = 0; i < bytes; i++) this.#put((value / 2 ** (24 - 8 * i)) & 255);
      break;
    }
    return this.#bytes.slice(0, this.#length);
  }

  #put(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const longer = new Uint8Array(this.#length * 2);
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    this.#bytes[this.#length++] = byte;
  }

  /** Adds 1 to the bytes already written. */
  #carry(): void {
    let i = this.#length - 1;
    while (this.#bytes[i] === 255) this.#bytes[i--] = 0;
    this.#bytes[i]++;
  }
}
