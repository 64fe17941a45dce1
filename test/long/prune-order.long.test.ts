/** @file What a pruning criterion must be better than, on LeNet-5, a residual net and a transformer. */
import { describeOrder, lenet, others } from "../methods/prune-order.ts";

describeOrder([lenet, ...others]);
