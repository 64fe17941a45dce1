/** @file What a pruning criterion must be better than, on a residual net and a transformer. */
import { describeOrder, others } from "../methods/prune-order.ts";

describeOrder(others);
