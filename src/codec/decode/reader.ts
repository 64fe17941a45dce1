/** @file Bounded reading of bytes, variable-length integers and bits. */
import { DecodeError } from "./error.ts";

/** A cursor over bytes. Every read is checked: beyond the end it throws DecodeError. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The next `count` bytes as a view; all that is left if `count` is omitted. */
  take(count: number = this.#bytes.length - this.#at): Uint8Array {
    if (count > this.#bytes.length - this.#at) throw new DecodeError("the coded numbers are cut");
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  byte(): number {
    return this.take(1)[0];
  }

  /**
   * LEB128: 7 bits a byte, low bits first, the top bit set on all bytes but the last; at most
   * 2^35 - 1.
   */
  varint(): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 28; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new DecodeError("a number is too long");
  }

  /** A varint in which 0, 1, 2, 3, 4 ... stand for 0, -1, 1, -2, 2 ... */
  signed(): number {
    return unfold(this.varint());
  }

  /** A length (varint) and that many bytes. */
  section(): Uint8Array {
    return this.take(this.varint());
  }
}

/** 0, 1, 2, 3, 4 ... -> 0, -1, 1, -2, 2 ...: the inverse of `fold` in encode/writer.ts. */
export function unfold(x: number): number {
  return x % 2 ? -(x + 1) / 2 : x / 2;
}

/**
 * A cursor over the bits of a stream. The low bit of each byte comes first, and so do the low
 * bits of each number.
 */
export class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #hold = 0;
  #held = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The next 0 to 32 bits as an unsigned number. Throws DecodeError beyond the end. */
  take(count: number): number {
    if (count > 24) return this.take(16) + this.take(count - 16) * 65536;
    let hold = this.#hold;
    let held = this.#held;
    for (; held < count; held += 8) {
      if (this.#at >= this.#bytes.length) throw new DecodeError("the coded numbers are cut");
      hold |= this.#bytes[this.#at++] << held;
    }
    const value = hold & ((1 << count) - 1);
    this.#hold = hold >>> count;
    this.#held = held - count;
    return value;
  }
}
