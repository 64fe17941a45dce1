/**
 * @file Globs over node names: `*` is any run of characters, `?` is one, and every other
 * character is itself.
 */

/** The regular expression that matches whole names. */
export function globToRegExp(glob: string): RegExp {
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  return new RegExp(`^${pattern}$`);
}
