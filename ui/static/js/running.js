/** The running sessions as tiles with their annotated pictures. */

import { stopSession } from "./calls.js";
import { partsOf, say, setAttribute, setText, show, speak, stamp } from "./dom.js";
import { reconcile } from "./keyed.js";
import { Snapshots } from "./snapshots.js";
import { ofSession, paint } from "./state.js";
import { joined, many, rate, sentence } from "./words.js";

const PERIOD = 800; // ms

export class Running {
  /** @param {HTMLElement} section @param {() => void} onStopped */
  constructor(section, onStopped) {
    this.section = section;
    this.parts = partsOf(section);
    this.onStopped = onStopped;
  }

  /** @param {import("./overview.js").Overview} overview */
  render(overview) {
    const sessions = overview.sessions.filter((s) => s.state !== "ended");
    reconcile(
      this.parts.list,
      sessions,
      (session) => String(session.session_id),
      (session) => new RunningTile(session, this.onStopped),
      (tile, session) => tile.update(session, overview),
    );
    setText(this.parts.count, String(sessions.length));
    show(this.section, sessions.length > 0);
  }
}

/** What people call an algorithm. @param {import("./overview.js").Overview} overview @param {string} id */
export function algorithmName(overview, id) {
  return String(overview.algorithms.find((a) => a.id === id)?.name ?? id);
}

class RunningTile {
  /** @param {any} session @param {() => void} onStopped */
  constructor(session, onStopped) {
    const { root, parts } = stamp("running-tile");
    this.root = root;
    this.parts = parts;
    this.id = String(session.session_id);
    /** @type {number | null} */
    this.inference = null;
    parts.open.href = parts.title.href = `/s/${encodeURIComponent(this.id)}`;
    parts.open.tabIndex = -1; // the title leads to the same place: one stop for the keyboard
    parts.stop.addEventListener("click", () => this.stop(onStopped));
    this.snapshots = new Snapshots(parts.image, {
      period: PERIOD,
      onPicture: ({ inference }) => {
        this.inference = inference;
        show(parts.image, true);
        show(parts.cover, false);
        parts.open.classList.remove("old");
      },
      onTrouble: (words) => {
        setText(parts["cover-text"], sentence(words));
        show(parts.cover, true);
        parts.open.classList.add("old");
      },
    });
  }

  /** @param {any} session @param {import("./overview.js").Overview} overview */
  update(session, overview) {
    const { parts } = this;
    const what = algorithmName(overview, session.algorithm);
    const camera = String(session.camera_name ?? session.camera);
    const standing = ofSession(session);
    setText(parts.title, camera);
    setAttribute(parts.title, "title", `${what} on ${camera}`);
    setAttribute(parts.open, "aria-label", `Open ${what} on ${camera}`);
    setAttribute(parts.image, "alt", `What ${what} finds on ${camera}`);
    setAttribute(parts.stop, "aria-label", `Stop ${what} on ${camera}`);
    paint(parts.state, parts.word, standing);
    setAttribute(parts.reason, "data-tone", standing.tone);
    say(parts.reason, this.problem ?? (standing.reason && sentence(standing.reason)));
    setText(parts.what, what);
    setText(
      parts.facts,
      joined([
        session.node_name && `On ${session.node_name}`,
        session.fps > 0 && `${rate(session.fps)} fps`,
        this.inference !== null && `${Math.round(this.inference)} ms`,
        session.viewers > 0 && many(session.viewers, "viewer"),
      ]),
    );
    const url = session.snapshot_url ?? (session.node_url && `${session.node_url}/v1/sessions/${this.id}/snapshot`);
    // The part behind # is not sent: it only makes the address another one when the session has moved.
    this.snapshots.aim(url ? `${url}#${session.token ?? 0}` : "");
    if (!url && this.parts.image.hidden) setText(parts["cover-text"], "Waiting for a node …");
    parts.open.classList.toggle("old", !url);
  }

  /** @param {() => void} onStopped */
  async stop(onStopped) {
    const { stop } = this.parts;
    stop.disabled = true;
    try {
      await stopSession(this.id);
      speak("Stopped");
      this.problem = undefined;
    } catch (error) {
      this.problem = sentence(/** @type {Error} */ (error).message);
      say(this.parts.reason, this.problem);
      stop.disabled = false;
    }
    onStopped();
  }

  /** @type {string | undefined} */
  problem;

  leave() {
    this.snapshots.leave();
  }
}
