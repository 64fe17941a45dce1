/** @file What a pruning criterion must be better than, on LeNet-5; test/long has other nets. */
import { describeOrder, lenet } from "./prune-order.ts";

describeOrder([lenet]);
