/** Where a session ran, and why it moved: as the registry keeps it. */

import { getSession } from "../calls.js";
import { setText, show, stamp } from "../dom.js";
import { t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { clock, sentence } from "../words.js";

/**
 * @typedef {{at: number, state: string, node?: string | null, reason?: string}} Step  node: its name. at: Unix seconds
 * @typedef {{at: number, words: string, reason: string, moved: boolean}} Event
 */

/** What happened, oldest first; steps that tell people nothing are left out. @param {Step[]} steps @returns {Event[]} */
export function eventsOf(steps) {
  /** @type {Event[]} */
  const events = [];
  let last = ""; // the node that served it last
  let served = false;
  let told = ""; // the reason that was told last
  steps.forEach(({ at, state, node, reason: given }, place) => {
    const reason = (given ?? "").replace(/^moved: /, "");
    const tell = (/** @type {string} */ words, moved = false) => {
      events.push({ at, words, reason: reason && sentence(reason), moved });
      told = reason;
    };
    if (state === "ended") tell(t("Ended"));
    else if (!node) {
      if (served || !events.length || reason !== told) tell(t("Waiting for a node"));
    } else if (!last) tell(t("Started on {node}", { node }));
    else if (node !== last) tell(t("Moved from {from} to {to}", { from: last, to: node }), true);
    else if (!served) tell(t("On {node} again", { node }));
    else if (state === "moving") {
      if (place === steps.length - 1) tell(t("Moving on from {node}", { node }));
    } else if (reason && reason !== told) tell(t("Still on {node}", { node }));
    served = Boolean(node);
    last = node || last;
  });
  return events;
}

export class History {
  /** @param {import("../dom.js").Parts} parts @param {string} id @param {(steps: Step[]) => void} onSteps */
  constructor(parts, id, onSteps) {
    this.parts = parts;
    this.id = id;
    this.onSteps = onSteps;
    this.asked = ""; // the state of the session for which it was asked
    /** @type {Event[]} */
    this.events = [];
  }

  /** Ask anew if the session has changed. @param {any} session */
  async follow(session) {
    const state = `${session.token} ${session.state} ${session.changed_at}`;
    if (state === this.asked) return;
    this.asked = state;
    try {
      const { history } = await getSession(this.id);
      // Without its Redis the registry has none; and an older answer may come after a newer one.
      if (!Array.isArray(history) || state !== this.asked) return;
      this.events = eventsOf(history);
      this.onSteps(history);
      this.draw();
    } catch {
      if (state === this.asked) this.asked = ""; // the next word of the session asks again
    }
  }

  /** When it moved, in Unix seconds of the registry. */
  get moves() {
    return this.events.filter(({ moved }) => moved).map(({ at }) => at);
  }

  draw() {
    const { history, "no-history": nothing } = this.parts;
    reconcile(
      history,
      [...this.events].reverse(),
      ({ at, words }) => `${at} ${words}`,
      ({ at, words, moved }) => {
        const row = stamp("past-row");
        setText(row.parts.time, clock(at));
        setText(row.parts.words, words);
        row.root.classList.toggle("move", moved);
        return row;
      },
      (row, { reason }) => setText(row.parts.reason, reason),
    );
    show(nothing, this.events.length === 0);
  }
}
