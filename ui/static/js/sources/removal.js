/** The question before a camera is removed. */

import { removeCamera, stopSession } from "../calls.js";
import { partsOf, say, setText, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { note } from "../notes.js";
import { sentence } from "../words.js";

/** @typedef {import("./known.js").KnownCamera} KnownCamera */

export class Removal {
  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.dialog = dialog;
    this.parts = partsOf(dialog);
    /** @type {KnownCamera | null} */
    this.camera = null;
    this.parts.cancel.addEventListener("click", () => dialog.close());
    dialog.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.remove();
    });
  }

  /** @param {KnownCamera} camera @param {import("../overview.js").Overview} overview */
  ask(camera, overview) {
    this.camera = camera;
    const { parts } = this;
    const { sessions, name } = camera;
    setText(parts.title, t("Remove {name}?", { name }));
    setText(
      parts.what,
      sessions.length
        ? n(sessions.length, "This session ends with it:", "These {n} sessions end with it:")
        : t("Nothing runs on it. To have it again, it must be added anew, with its password."),
    );
    reconcile(
      parts.sessions,
      sessions,
      (session) => String(session.session_id),
      () => {
        const { root, parts: own } = stamp("remove-session");
        return { root, words: own.root };
      },
      ({ words }, session) => {
        const algorithm = String(overview.algorithms.find((one) => one.id === session.algorithm)?.name ?? session.algorithm);
        const viewers = session.viewers ?? 0;
        const where = session.node_name ? t("{algorithm} on {node}", { algorithm, node: String(session.node_name) }) : algorithm;
        setText(words, viewers ? n(viewers, "{where}, which {n} viewer watches", "{where}, which {n} viewers watch", { where }) : where);
      },
    );
    say(parts.problem, null);
    this.dialog.showModal();
    parts.cancel.focus();
  }

  async remove() {
    const { camera, parts } = this;
    if (!camera) return;
    parts.go.disabled = true;
    try {
      await removeCamera(camera.id);
      this.dialog.close();
      note(t("{name} is removed.", { name: camera.name }));
      await Promise.all(camera.sessions.map((session) => stopSession(session.session_id)));
    } catch (error) {
      const words = sentence(/** @type {Error} */ (error).message);
      if (this.dialog.open) say(parts.problem, words);
      else note(words, { tone: "bad" });
    }
    parts.go.disabled = false;
  }
}
