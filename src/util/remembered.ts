/** @file A function whose latest results are kept. */

/** `make`, which is called again for a key only after `most` other ones. */
export function remembered<K, V>(most: number, make: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const value = known.has(key) ? (known.get(key) as V) : make(key);
    // The order of a map is that of insertion: the first key is the one asked for longest ago.
    known.delete(key);
    known.set(key, value);
    if (known.size > most) known.delete(known.keys().next().value as K);
    return value;
  };
}
