/** @file What every method must do on every kind of network; test/long has the rest of it. */
import { describeContract } from "./contract.ts";

describeContract("some");
