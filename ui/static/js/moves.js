/** What people read of a session's moves from node to node. */

import { say, speak } from "./dom.js";
import { t } from "./i18n.js";
import { clock } from "./words.js";

/** @typedef {{from: string, to: string, at: number}} Move  names of nodes, and Unix seconds */

/**
 * The last move in a session's history.
 * @param {{at: number, node?: string | null}[]} [steps]
 * @returns {Move | null}
 */
export function lastMove(steps = []) {
  /** @type {Move | null} */
  let last = null;
  let from = "";
  for (const { at, node } of steps) {
    if (!node) continue;
    if (from && node !== from) last = { from, to: node, at };
    from = node;
  }
  return last;
}

/** @param {HTMLElement} line @param {Move | null} move */
export function showMove(line, move) {
  say(line, move && t("Moved from {from} to {to} at {time}", { from: move.from, to: move.to, time: clock(move.at) }));
}

/** @param {HTMLElement} line @param {Move} move one that has just happened */
export function tellMove(line, move) {
  showMove(line, move);
  speak(line.textContent ?? "");
}
