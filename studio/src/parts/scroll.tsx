/** @file A table that may be wider than the page: it scrolls, with the keyboard as well. */
import type { ComponentChildren } from "preact";

export function Scroll(props: {
  readonly name: string;
  readonly class?: string;
  readonly children: ComponentChildren;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached with the keyboard
    <section class={`scroll ${props.class ?? ""}`} aria-label={props.name} tabIndex={0}>
      {props.children}
    </section>
  );
}
