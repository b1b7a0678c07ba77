/** Signing out. */

import { call, Refused } from "./calls.js";
import { t } from "./i18n.js";
import { at } from "./root.js";

/**
 * @param {string} path of the call that ends sign-ins
 * @param {"POST" | "DELETE"} method
 * @param {HTMLButtonElement} button
 * @param {(words: string) => void} [refused] where it does not work; without, the button says so
 */
export async function leave(path, method, button, refused) {
  button.disabled = true;
  try {
    await call(method, path, method === "POST" ? {} : undefined);
  } catch (error) {
    const problem = /** @type {Refused} */ (error);
    // Where the registry is away, this browser has forgotten the sign-in all the same.
    if (problem.status !== 401 && !(problem.status === 503 && method === "POST")) {
      button.disabled = false;
      const words = t("You are still signed in: {reason}", { reason: problem.message });
      if (refused) refused(words);
      else button.textContent = words;
      return;
    }
  }
  window.location.assign(`${at("/sign-in")}#out`);
}
