import { describe, test } from "vitest";
import { nets } from "../support/nets.ts";
import { checkPair, pairs } from "./compose.ts";

/** Each pair on one network; test/long runs each on all. */
describe("one method after another", () => {
  const small = nets.filter(({ name }) => name !== "lenet5");
  test.each(pairs.map(([a, b], i) => [a, b, small[i % small.length]] as const))(
    "%s > %s",
    (first, second, net) => checkPair(net, first, second),
  );
});
