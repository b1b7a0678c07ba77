/** The line on a tile that tells of its session's last move, for a while: then the session's page knows it. */

import { show } from "../dom.js";
import { tellMove } from "../moves.js";

const SHOWN = 60_000; // ms

export class MovedLine {
  /** @param {HTMLElement} line */
  constructor(line) {
    this.line = line;
    this.node = ""; // the name of the last one that served it
    this.timer = 0;
  }

  /** @param {any} session as it is placed now */
  follow(session) {
    const node = String(session.node_name ?? "");
    if (node && this.node && node !== this.node) {
      tellMove(this.line, { from: this.node, to: node, at: session.changed_at ?? Date.now() / 1000 });
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => show(this.line, false), SHOWN);
    }
    this.node = node || this.node;
  }

  /** It is another session's line now, or nobody's. */
  forget() {
    this.node = "";
    window.clearTimeout(this.timer);
    show(this.line, false);
  }
}
