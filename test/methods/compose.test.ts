import { describe, test } from "vitest";
import { smallNets } from "../support/nets.ts";
import { checkPair, pairs } from "./compose.ts";

/** So many pairs, evenly spread, each on one network; test/long runs all on all. */
const COUNT = 45;

describe("one method after another", () => {
  const some = pairs.map(([a, b], i) => [a, b, smallNets[i % smallNets.length]] as const);
  test.each(some.filter((_, i) => i % Math.ceil(some.length / COUNT) === 0))(
    "%s > %s",
    (first, second, net) => checkPair(net, first, second),
  );
});
