/** Forms that are sent by a call: what was wrong is said in words, and how long to wait is counted down. */

import { call, Refused } from "./calls.js";
import { n, t } from "./i18n.js";
import { say } from "./dom.js";

/**
 * Send a form's values. Resolves with the answer, or with null when it was refused: then the form says why.
 *
 * @param {string} path
 * @param {object} body
 * @param {{go: HTMLButtonElement, problem: HTMLElement, words?: (error: Refused) => string | null}} form
 *   words: better ones than the server's, where there are
 * @returns {Promise<any>}
 */
export async function send(path, body, { go, problem, words }) {
  say(problem, null);
  go.disabled = true;
  go.setAttribute("aria-busy", "true");
  try {
    return (await call("POST", path, body, { stays: true })) ?? {};
  } catch (error) {
    const refused = /** @type {Refused} */ (error);
    say(problem, words?.(refused) ?? sentence(refused.message));
    if (refused.retryAfter) await countDown(go, problem, refused.retryAfter);
    return null;
  } finally {
    go.disabled = false;
    go.removeAttribute("aria-busy");
  }
}

/** @param {string} words */
const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

/** @param {HTMLButtonElement} go @param {HTMLElement} problem @param {number} seconds */
async function countDown(go, problem, seconds) {
  go.removeAttribute("aria-busy");
  const word = go.textContent ?? "";
  const until = performance.now() + seconds * 1000;
  for (;;) {
    const left = Math.ceil((until - performance.now()) / 1000);
    if (left <= 0) break;
    go.textContent = n(left, "In {n} second", "In {n} seconds");
    await new Promise((done) => window.setTimeout(done, Math.min(1000, until - performance.now())));
  }
  go.textContent = word;
  say(problem, t("You can try again now."));
}
