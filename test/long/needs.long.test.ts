/** @file Needs of every method with every choice of its options. */
import { describeNeeds } from "../recipe/needs-of-methods.ts";

describeNeeds("all");
