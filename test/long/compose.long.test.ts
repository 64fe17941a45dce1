import { describe, test } from "vitest";
import { checkPair, pairs } from "../methods/compose.ts";
import { smallNets } from "../support/nets.ts";

describe.each(smallNets.map((net) => [net.name, net] as const))(
  "one method after another on %s",
  (_, net) => {
    test.each(pairs)("%s > %s", (first, second) => checkPair(net, first, second));
  },
);
