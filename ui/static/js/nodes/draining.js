/** Taking a node out of use and back: one click, and what happens then. */

import { drainNode, Refused } from "../calls.js";
import { say, setAttribute, setText, show } from "../dom.js";
import { n, t } from "../i18n.js";
import { sentence } from "../words.js";
import { nameOf } from "./placements.js";

const SETTLED = 1500; // ms without a stream after which none comes to light any more: beats tell of those without a session
const PATIENCE = 5000; // ms after which the word of the answer counts no more: the registry's own has come long before

export class Draining {
  /** @param {import("../dom.js").Parts} parts */
  constructor(parts) {
    this.parts = parts;
    this.id = "";
    this.draining = false;
    this.busy = false;
    /** @type {import("../state.js").Standing | null} in place of the node's own, once nothing is left */
    this.standing = null;
    /** When it ran empty, in ms; NaN while it is not. One that was empty when the page came has been so for long. */
    this.emptyAt = Number.NEGATIVE_INFINITY;
    /** @type {{on: boolean, at: number} | null} */
    this.answered = null;
    parts.drain.addEventListener("click", () => this.turn());
  }

  /**
   * @param {any} node
   * @param {{sessions: number, room: boolean, away: boolean}} around sessions: how many are there; room: another node
   *   could take them; away: the registry is, so nothing can be asked of it
   */
  update(node, { sessions, room, away }) {
    const { parts } = this;
    this.id = String(node.node_id);
    if (this.answered && (node.draining === this.answered.on || performance.now() - this.answered.at > PATIENCE)) this.answered = null;
    this.draining = this.answered ? this.answered.on : node.draining === true;
    const offered = node.kind === "compute" && !node.original && node.state !== "dead";
    show(parts.drain, offered);
    parts.drain.disabled = this.busy || away;
    const name = nameOf(node);
    setText(parts["drain-word"], this.draining ? t("Undrain") : t("Drain"));
    const help = this.draining ? t("Undrain {name}: it takes sessions again", { name }) : t("Drain {name}: its sessions move to other nodes without a gap", { name });
    setAttribute(parts.drain, "aria-label", help);
    setAttribute(parts.drain, "title", help);
    const direct = node.load?.direct ?? 0;
    if (sessions + direct > 0) this.emptyAt = Number.NaN;
    else if (Number.isNaN(this.emptyAt)) this.emptyAt = performance.now();
    const drained = node.state === "draining" && performance.now() - this.emptyAt > SETTLED;
    this.standing = drained ? { word: t("Drained"), tone: "off", reason: "" } : null;
    say(parts["drain-state"], !this.draining ? null : drained ? t("Drained: it can be switched off.") : words(sessions, direct, room));
  }

  async turn() {
    const { parts } = this;
    const on = !this.draining;
    this.busy = parts.drain.disabled = true;
    say(parts.problem, null);
    try {
      await drainNode(this.id, on);
      this.answered = { on, at: performance.now() };
      this.draining = on;
      setText(parts["drain-word"], on ? t("Undrain") : t("Drain"));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say(parts.problem, `${sentence(error.message)}.`);
    } finally {
      this.busy = parts.drain.disabled = false;
      if (document.activeElement === document.body) parts.drain.focus(); // a button that is disabled loses it
    }
  }
}

/** @param {number} sessions @param {number} direct streams without a session @param {boolean} room */
function words(sessions, direct, room) {
  if (sessions > 0) {
    const left = n(sessions, "Draining: {n} session left.", "Draining: {n} sessions left.");
    const stuck = t("No other node has a free slot, so they stay until one has.");
    return room ? left : `${left} ${stuck}`;
  }
  if (direct > 0) return n(direct, "Draining: {n} stream is being watched to its end.", "Draining: {n} streams are being watched to their end.");
  return t("Draining: no session left.");
}
