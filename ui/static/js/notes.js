/** Short notes at the edge of the page: what was just done, and where it is. */

import { setText, show, stamp } from "./dom.js";

const SHOWN = 8000; // ms: long enough for two sentences
const MOST = 3;

/**
 * @param {string} text
 * @param {{tone?: "ok" | "warn" | "bad", link?: {text: string, href: string}}} [more]
 */
export function note(text, { tone = "ok", link } = {}) {
  const list = /** @type {HTMLElement} */ (document.getElementById("notes"));
  const { root, parts } = stamp("note");
  root.dataset.tone = tone;
  setText(parts.text, text);
  show(parts.link, Boolean(link));
  if (link) {
    setText(parts.link, link.text);
    parts.link.href = link.href;
  }
  let timer = 0;
  const go = () => {
    window.clearTimeout(timer);
    root.remove();
  };
  // Who reads it, or is about to follow its link, keeps it.
  const stay = () => {
    window.clearTimeout(timer);
    if (!root.matches(":hover, :focus-within")) timer = window.setTimeout(go, SHOWN);
  };
  for (const change of ["pointerenter", "pointerleave", "focusin"]) root.addEventListener(change, stay);
  root.addEventListener("focusout", () => window.setTimeout(stay)); // where the focus goes is known a moment later
  parts.close.addEventListener("click", go);
  stay();
  list.append(root);
  while (list.childElementCount > MOST) list.firstElementChild?.remove();
}
