/** @file Results of trials in a store, by the hash of their job: what was done once is not done again. */
import type { Failed } from "../recipe/runner.ts";
import { numbersNotFinite, restore } from "../util/not-finite.ts";
import { getBlob, putBlob, type Store } from "./store.ts";

const keyOf = (id: string): string => `results/${id}.json`;

/** A trial, or a recipe that was screened, whose product may not be wanted. */
interface Product {
  readonly bytes: Uint8Array | null;
}

/** Stores a result: the product by its content, then the rest, which is small, under `id`. */
export async function putResult(
  store: Store,
  id: string,
  { bytes, ...rest }: Product,
): Promise<void> {
  const product = bytes && (await putBlob(store, bytes));
  const text = JSON.stringify({ rest, notFinite: numbersNotFinite(rest), product });
  await store.put(keyOf(id), new TextEncoder().encode(text));
}

/** The result under `id`; null if there is none, or its product is gone. */
export async function getResult<T extends Product>(store: Store, id: string): Promise<T | null> {
  const text = await store.get(keyOf(id));
  if (!text) return null;
  const { rest, notFinite, product } = JSON.parse(new TextDecoder().decode(text));
  if (product && !(await store.has(`blobs/${product}`))) return null;
  restore(rest, notFinite);
  return { ...rest, bytes: product && (await getBlob(store, product)) };
}

/** What a worker answers over the queue: that the result is in the store, or why there is none. */
export type Answer = { readonly host: string } | Failed;
