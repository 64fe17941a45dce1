import { describe, test } from "vitest";
import { cases } from "./cases.ts";
import { checkCase } from "./gradients.ts";

describe.each(Object.entries(cases))("the gradient of %s", (_, list) => {
  test.each(list.map((case_) => [JSON.stringify(case_.shapes), case_] as const))(
    "%s is the same three ways",
    (_, case_) => checkCase(case_),
  );
});
