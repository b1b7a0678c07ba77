/** What is shown of a session that has ended, or never was. */

import { startSession } from "../calls.js";
import { partsOf, say, setText, show } from "../dom.js";
import { t } from "../i18n.js";
import { can } from "../me.js";
import { sentence } from "../words.js";
import { at } from "../root.js";

/**
 * @param {any} last the session as it was known last; null when there is none
 * @param {string} what what people call its algorithm
 * @param {string} reason
 */
export function showEnded(last, what, reason) {
  const root = /** @type {HTMLElement} */ (document.getElementById("ended"));
  const { title, reason: words, again, problem } = partsOf(root);
  const heading = last
    ? t("{what} on {camera} has ended", { what: what || last.algorithm, camera: last.camera_name ?? last.camera })
    : t("There is no such session");
  setText(title, heading);
  document.title = `${heading} · Fogline`;
  setText(words, reason ? `${sentence(reason)}.` : "");
  show(root, true);
  show(again, Boolean(last));
  (last && can("operate") ? again : title).focus();
  again.addEventListener("click", async () => {
    again.disabled = true;
    say(problem, null);
    try {
      const made = await startSession(wishOf(last));
      window.location.assign(at(`/s/${encodeURIComponent(made.session_id)}`));
    } catch (error) {
      say(problem, sentence(/** @type {Error} */ (error).message));
      again.disabled = false;
    }
  });
}

/** What was asked for, but not the node that it happened to be on. @param {any} session */
function wishOf({ camera, algorithm, width, height, max_fps: fps, gate, pinned, require, prefer, speed }) {
  const wish = { camera, algorithm, width, height, fps, gate, pinned, require, prefer, speed };
  return Object.fromEntries(Object.entries(wish).filter(([, value]) => value !== null && value !== undefined));
}
