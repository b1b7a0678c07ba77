/** Starting and stopping an algorithm: done at once, told in a note, and undone from there. */

import { startSession, stopSession } from "../calls.js";
import { t } from "../i18n.js";
import { note } from "../notes.js";
import { titleOf } from "./places.js";
import { sentence } from "../words.js";
import { at } from "../root.js";

/** @typedef {Parameters<typeof startSession>[0]} Wish */

/**
 * Start it, and say where it runs and why there. Throws what the server refuses.
 * @param {Wish} wish
 * @param {{undo?: boolean}} [how] undo: offer to stop it again
 */
export async function begin(wish, { undo = false } = {}) {
  const made = await startSession(wish);
  const link = { text: t("Open"), href: at(`/s/${encodeURIComponent(made.session_id)}`) };
  if (made.node_name) {
    const why = String(made.why ?? "").replace(`${made.node_name}: `, "");
    const text = why ? t("Runs on {node}: {why}", { node: made.node_name, why }) : t("Runs on {node}", { node: made.node_name });
    note(text, { link });
  } else note(t("Waits for a node: {reason}", { reason: made.state_reason || made.why || "" }), { tone: "warn", link });
  if (undo) offer(() => quietly(() => stopSession(made.session_id)));
  return made;
}

/** Start it as by hand, where no form shows what is refused. @param {Wish} wish */
export function beginAtOnce(wish) {
  return quietly(() => begin(wish, { undo: true }));
}

/** @param {import("./places.js").Place} place with a session @returns {Promise<boolean>} whether it is stopped */
export function end(place) {
  const { session } = place;
  return quietly(async () => {
    await stopSession(session.session_id);
    note(t("Stopped: {title}", { title: titleOf(place) }));
    offer(() => quietly(() => begin(wishOf(session))));
  });
}

/** What was asked for when `session` was started. @param {any} session @returns {Wish} */
function wishOf(session) {
  const { camera, algorithm, pinned, gate, width, height, max_fps: fps } = session;
  const wish = { camera, algorithm, pinned, gate, width, height, fps };
  return /** @type {Wish} */ (Object.fromEntries(Object.entries(wish).filter(([, value]) => value)));
}

/** @param {() => Promise<any>} act @returns {Promise<boolean>} whether it was done; if not, a note says why */
async function quietly(act) {
  try {
    await act();
    return true;
  } catch (error) {
    note(sentence(/** @type {Error} */ (error).message), { tone: "bad" });
    return false;
  }
}

/** Let the note that was just written take it back. @param {() => void} act */
function offer(act) {
  const written = document.getElementById("notes")?.lastElementChild;
  if (!written) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small";
  button.textContent = t("Undo");
  button.addEventListener("click", () => {
    written.remove();
    act();
  });
  written.querySelector("[data-part=close]")?.before(button);
}
