/** What happens when this browser's sign-in has ended. */

import { at } from "./root.js";

const HAND = 5000; // ms after a touch or a key within which a call counts as somebody's own

let touched = Number.NEGATIVE_INFINITY;
for (const kind of ["pointerdown", "keydown"]) {
  window.addEventListener(kind, () => (touched = performance.now()), { capture: true, passive: true });
}

/** To the sign-in, and from there back to what is shown now. */
export function signInAddress() {
  const root = at("");
  const { pathname, search, hash } = window.location;
  const here = (pathname.startsWith(root) ? pathname.slice(root.length) : "/") + search + hash;
  return `${at("/sign-in")}?next=${encodeURIComponent(here || "/")}`;
}

/**
 * The server does not know who we are any more. Who just did something is led to the sign-in; a page that nobody
 * touches, such as a wall, says so and stays.
 */
export function signedOut() {
  const banner = document.getElementById("signed-out");
  if (performance.now() - touched < HAND || !banner) {
    window.location.assign(signInAddress());
    return;
  }
  const link = /** @type {HTMLAnchorElement} */ (banner.querySelector("[data-part=sign-in]"));
  link.href = signInAddress();
  banner.hidden = false;
}

/** It does again: somebody signed in in another window. */
export function signedIn() {
  const banner = document.getElementById("signed-out");
  if (banner && !banner.hidden) banner.hidden = true;
}
