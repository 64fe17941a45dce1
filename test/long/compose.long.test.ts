import { describe, test } from "vitest";
import { checkPair, pairs } from "../methods/compose.ts";
import { nets } from "../support/nets.ts";

describe.each(nets.map((net) => [net.name, net] as const))(
  "one method after another on %s",
  (_, net) => {
    test.each(pairs)("%s > %s", (first, second) => checkPair(net, first, second));
  },
);
