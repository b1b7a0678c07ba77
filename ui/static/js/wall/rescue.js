/** A session's node gives no pictures: have the session moved, once for each placement. */

import { moveSession } from "../calls.js";
import { t } from "../i18n.js";
import { sentence } from "../words.js";

const UNREACHED = 2; // requests in a row that no server answered: one alone may be chance
const PATIENCE = 1500; // ms without an answer after which a node counts as gone: it may be busy with other tiles
const START = 3000; // ms, the same until a placement's first picture
const INTERVALS = 4; // of what is usual: who watches a slow stream, or a slow node, waits longer
const PAUSE = 1000; // ms between two moves; doubles with each that brought no picture, so that nothing is tossed about
const MOST = 3; // moves in vain: then it is not the nodes that are to blame

/** Nodes that have given this page a picture. Of others it may be the way there that is broken: a page that reaches no
 * node must not move everybody's sessions from one to the next. @type {Set<string>} */
const proven = new Set();

/** One tile's view of its session. */
export class Rescue {
  constructor() {
    this.token = 0;
    this.asked = 0; // the token of the placement that was complained about
    this.pictures = 0; // of this placement
    this.unreached = 0; // requests in a row
    this.inVain = 0; // moves since the newest picture
    this.askedAt = 0;
  }

  /** @param {any} session */
  follow(session) {
    if (session.token === this.token) return;
    this.token = session.token;
    this.pictures = this.unreached = 0;
  }

  /** @param {string} node that gave it */
  pictured(node) {
    proven.add(node);
    this.pictures += 1;
    this.unreached = this.inVain = 0;
  }

  /** Ms to wait for a picture. @param {number} usual ms that one takes @param {number} fps the session's */
  patience(usual, fps) {
    if (this.pictures < 2) return START;
    return Math.max(PATIENCE, INTERVALS * usual, fps > 0 ? (INTERVALS * 1000) / fps : START);
  }

  /** Whether it is the node that is gone. @param {import("../still.js").NoPicture} trouble @param {string} node */
  isDue({ kind }, node) {
    this.unreached = kind === "unreached" ? this.unreached + 1 : 0;
    const gone = kind === "silent" || this.unreached >= UNREACHED;
    const tooSoon = this.inVain > 0 && performance.now() - this.askedAt < PAUSE * 2 ** this.inVain;
    return gone && !tooSoon && this.inVain < MOST && proven.has(node) && this.token > 0 && this.asked !== this.token;
  }

  /**
   * @param {any} session
   * @returns {Promise<{session: any, words: string}>} session: as it is placed now, null when nothing is known of it
   */
  async ask(session) {
    this.asked = session.token;
    this.askedAt = performance.now();
    this.inVain += 1;
    try {
      const found = await moveSession(session.session_id, session.token);
      if (found.token !== session.token) return { session: found, words: "" };
      const outcome = sentence(String(found.outcome));
      return { session: null, words: t("Node {node} gives no pictures. {outcome}.", { node: session.node_name, outcome }) };
    } catch {
      this.asked = 0; // the registry is away, and the banner says so
      return { session: null, words: "" };
    }
  }
}
