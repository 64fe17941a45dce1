/** @file Options that the small transformers share. */
import { z } from "zod";

/** A size with its default and the largest that is sensible. */
export const size = (usual: number, most = 4096) => z.int().min(1).max(most).default(usual);
