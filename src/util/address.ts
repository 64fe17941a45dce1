/** @file Addresses of models: URLs among the texts that may also be paths, and paths in file URLs. */

/** Whether a text is meant as a URL rather than as a path. */
export const isAddress = (text: string): boolean => /^(https?|file):\/\//i.test(text);

/** The URL that a text is; null where it is not valid. */
export function urlOf(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null;
}

/**
 * The path of a file URL; null if it names another machine or is not encoded correctly. On Windows
 * its pathname is /C:/folder/model.onnx; the first slash is removed.
 */
export function pathOf({ hostname, pathname }: URL): string | null {
  if (hostname !== "" && hostname !== "localhost") return null;
  return decoded(pathname)?.replace(/^\/(?=[a-z]:)/i, "") ?? null;
}

/** The text with its %XX decoded; null where they are no UTF-8. */
export function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** What follows `net:` in the name of a benchmark network, with its options; null for other texts. */
export const netIn = (text: string): string | null => /^net:(.*)$/s.exec(text)?.[1] ?? null;

/** The name of a file with such a network: vgg-small?width=32 is vgg-small.width=32.onnx. */
export const netFile = (net: string): string => `${net.replace(/[?&]/g, ".")}.onnx`;
