/** A compute node's slots: each holds one session or one stream without a session. */

import { isNumber } from "../words.js";

/** Whether its slots count: they do not while nobody reaches it. @param {any} node */
export function usable(node) {
  return ["ready", "full", "draining"].includes(node.state);
}

/**
 * Slots in use and in all.
 * @param {any} node
 * @param {number} [sessions] on it, where more recent than what the node's own document says
 * @returns {{used: number, all: number}}
 */
export function slotsOf(node, sessions = isNumber(node.sessions) ? node.sessions : 0) {
  const all = isNumber(node.slots) ? node.slots : 0;
  const used = sessions + (node.load?.direct ?? 0);
  return { used: Math.min(used, all), all };
}

/** Slots that a new session could take. @param {any} node @param {number} [sessions] as for `slotsOf` */
export function freeOf(node, sessions) {
  if (node.state !== "ready" || node.original) return 0;
  const { used, all } = slotsOf(node, sessions);
  return all - used;
}
