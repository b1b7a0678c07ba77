/** Choosing a password with a one-time link, whose token is behind the address's `#` and leaves it at once. */

import { send } from "./asking.js";
import { partsOf, say, setText, show } from "./dom.js";
import { t } from "./i18n.js";

const page = /** @type {HTMLElement} */ (document.getElementById("setup"));
const parts = partsOf(page);
const form = /** @type {HTMLFormElement} */ (parts.form);
const token = window.location.hash.slice(1);
window.history.replaceState(null, "", window.location.pathname);

if (token) {
  show(parts.ready, true);
  /** @type {HTMLInputElement} */ (form.querySelector("input")).focus();
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll(".foot a[hreflang]"))) {
    // The page in the other language needs it, too; until then it stands nowhere in this one.
    link.addEventListener("click", () => (link.hash = token));
  }
} else {
  setText(parts.title, t("This page needs a link"));
  setText(parts.why, t("Open the whole address as you got it, with all that stands behind the #. It works once."));
  show(parts.spent, true);
}

parts.go.disabled = false; // before, the browser would have sent the form by itself, which the server does not take
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, password, again } = Object.fromEntries(new FormData(form));
  if (password !== again) {
    say(parts.problem, t("The two passwords are not the same."));
    /** @type {HTMLInputElement} */ (form.elements.namedItem("again")).select();
    return;
  }
  let spent = false;
  const found = await send("/api/setup", { token, password, ...(name ? { name } : {}) }, {
    go: parts.go,
    problem: parts.problem,
    words: (refused) => {
      spent = refused.status === 401;
      return null;
    },
  });
  if (found) {
    window.location.replace(page.dataset.wanted ?? "/");
  } else if (spent) {
    show(parts.ready, false);
    show(parts.spent, true);
  }
});
