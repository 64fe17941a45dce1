/** @file What every method must do on every kind of network, those that train included. */
import { describeContract } from "../methods/contract.ts";

describeContract("all");
