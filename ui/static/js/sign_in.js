/** Signing in. */

import { send } from "./asking.js";
import { partsOf, say } from "./dom.js";
import { t } from "./i18n.js";

const form = /** @type {HTMLFormElement} */ (document.getElementById("sign-in"));
const parts = partsOf(form);
const said = /** @type {HTMLElement} */ (document.getElementById("said"));
if (window.location.hash === "#out") {
  say(said, t("You are signed out."));
  window.history.replaceState(null, "", window.location.pathname + window.location.search);
}

parts.go.disabled = false; // before, the browser would have sent the form by itself, which the server does not take
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  say(said, null); // it was about what is over
  const { name, password } = Object.fromEntries(new FormData(form));
  const found = await send("/api/sign-in", { name, password }, { go: parts.go, problem: parts.problem });
  if (found) {
    window.location.replace((form.dataset.wanted ?? "/") + window.location.hash);
    return;
  }
  const field = /** @type {HTMLInputElement} */ (form.elements.namedItem("password"));
  field.focus();
  field.select();
});
