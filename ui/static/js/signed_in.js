/** The menu of who is signed in. */

import { leave } from "./leaving.js";

const menu = /** @type {HTMLDetailsElement} */ (document.getElementById("who"));
const button = /** @type {HTMLButtonElement} */ (menu.querySelector("[data-part=sign-out]"));

button.disabled = false; // before, a click would have done nothing
button.addEventListener("click", () => leave("/api/sign-out", "POST", button));

document.addEventListener("click", (event) => {
  if (!menu.contains(/** @type {Node} */ (event.target))) menu.open = false;
});
menu.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !menu.open) return;
  event.stopPropagation();
  menu.open = false;
  /** @type {HTMLElement} */ (menu.querySelector("summary")).focus();
});
