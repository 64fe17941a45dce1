/** @file Quoted values in recipes: text that contains a separator is written as a JSON string. */

/** A JSON string. */
const quotes = /"(?:[^"\\]|\\.)*"/y;

/**
 * Splits at every `separator` outside quotes. A quote opens only at the beginning of a value, which
 * is after a separator, a "=" or a "|".
 */
export function splitQuoted(text: string, separator: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let mayOpen = true;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    quotes.lastIndex = i;
    const value = char === '"' && mayOpen ? quotes.exec(text)?.[0] : undefined;
    if (value) {
      i += value.length - 1;
      mayOpen = false;
    } else if (char === separator) {
      parts.push(text.slice(start, i));
      start = i + 1;
      mayOpen = true;
    } else if (char.trim() !== "") mayOpen = char === "=" || char === "|";
  }
  return [...parts, text.slice(start)];
}

/** The value that a text stands for; null where a quote is not closed or something follows it. */
export function unquote(text: string): string | null {
  if (!text.startsWith('"')) return text;
  try {
    return JSON.parse(text) as string;
  } catch {
    return null;
  }
}

/**
 * Text that needs no quotes: it has no quote, no ">", "," or "#", which end a value, no line break,
 * and no blanks at its ends, which would be trimmed.
 */
const plain = /^(?!\s)[^">,#\n\r]*(?<!\s)$/;

/** The text of a value, in quotes where it needs them. */
export function quote(value: string): string {
  return plain.test(value) ? value : JSON.stringify(value);
}

/** The text of one value of a list, whose separator is "|". */
export function quotePart(value: string): string {
  return value === "" || value.includes("|") ? JSON.stringify(value) : quote(value);
}
