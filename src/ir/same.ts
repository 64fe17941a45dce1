/** @file Equality of tensors and attributes. */
import { sameBytes } from "../util/bytes.ts";
import type { Attribute, Attributes } from "./attribute.ts";
import { Tensor } from "./tensor.ts";

/** Whether two tensors have the same type, shape and bytes. */
export function sameTensor(a: Tensor, b: Tensor): boolean {
  if (a === b) return true;
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  if (a.strings || b.strings) {
    return a.strings?.every((text, i) => text === b.strings?.[i]) ?? false;
  }
  return sameBytes(a.bytes(), b.bytes());
}

/** Whether two nodes' attributes have the same names, types and values. */
export function sameAttributes(a: Attributes, b: Attributes): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && sameAttribute(a[name], b[name]))
  );
}

function sameAttribute(a: Attribute, b: Attribute): boolean {
  if (a.type !== b.type) return false;
  if (a.type === "tensor") return sameTensor(a.value, b.value as Tensor);
  if (!Array.isArray(a.value)) return a.value === b.value;
  const [left, right] = [a.value as readonly unknown[], b.value as readonly unknown[]];
  return (
    left.length === right.length &&
    left.every((one, i) =>
      one instanceof Tensor ? sameTensor(one, right[i] as Tensor) : one === right[i],
    )
  );
}
