/** The dialog in which cameras are added and changed: it tests them before they are saved. */

import { addCamera, changeCamera } from "../calls.js";
import { partsOf, say, setText, show } from "../dom.js";
import { t } from "../i18n.js";
import { note } from "../notes.js";
import { sentence } from "../words.js";
import { Candidates } from "./candidates.js";
import { CameraForm } from "./form.js";
import { TestPicture } from "./test_picture.js";
import { Trial } from "./trial.js";

const GONE = 404;

export class CameraDialog {
  /** @param {HTMLDialogElement} dialog @param {() => void} onClose */
  constructor(dialog, onClose) {
    this.dialog = dialog;
    this.parts = partsOf(dialog);
    this.form = new CameraForm(/** @type {HTMLFormElement} */ (dialog.querySelector("form")));
    this.trial = new Trial();
    this.picture = new TestPicture(this.parts);
    this.candidates = new Candidates(this.parts, (candidate) => this.form.pick(candidate));
    /** @type {import("../overview.js").Overview | null} */
    this.overview = null;
    /** @type {"" | "testing" | "saving"} */
    this.busy = "";
    this.tried = ""; // the source that is tried, while nothing else is typed
    this.turn = 0; // answers to what was asked before the last turn are about another camera
    const { parts } = this;
    parts.close.addEventListener("click", () => dialog.close());
    parts.cancel.addEventListener("click", () => dialog.close());
    parts.test.addEventListener("click", () => this.test());
    for (const field of ["source", "user", "password"]) {
      // Enter where the address is typed tries it; where the name is typed, it saves.
      parts[field].addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Enter" || event.isComposing) return;
        event.preventDefault();
        if (this.hostless) parts.name.focus();
        else if (!parts.test.disabled) this.test();
      });
      parts[field].addEventListener("input", () => this.draw());
    }
    this.form.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    dialog.addEventListener("close", () => {
      if (dialog.open) return; // browsers say it a frame later, when somebody may have opened it again
      this.forget();
      onClose();
    });
  }

  /** Keep nothing of what was tried and typed, the password too. */
  forget() {
    this.turn += 1;
    this.busy = "";
    this.trial.end();
    this.picture.stop();
    this.candidates.clear();
    this.form.clear();
    this.tried = "";
  }

  /** @param {any} [camera] the added one to change; a new one without */
  open(camera = null) {
    if (!this.overview || this.dialog.open) return;
    this.forget();
    this.form.render(this.overview);
    this.form.fill(camera, this.overview);
    this.dialog.showModal();
    this.parts[camera ? "name" : "source"].focus();
    this.draw();
  }

  /** @param {import("../overview.js").Overview} overview */
  render(overview) {
    this.overview = overview;
    if (!this.dialog.open) return;
    this.form.render(overview);
    this.draw();
  }

  /** The camera whose picture is shown: the one that is tried, or the one that is changed while its source stays. */
  get subject() {
    const { draft } = this.trial;
    const { changing, sourceChanged } = this.form;
    const chosen = sourceChanged ? this.tried === this.form.wish().source && draft : changing;
    return chosen && (this.overview?.cameras.find((one) => one.camera_id === chosen.camera_id) ?? chosen);
  }

  /** Nobody is there who could run it. */
  get hostless() {
    return Boolean(this.overview?.known) && !this.overview?.hosts.length;
  }

  draw() {
    const { parts, overview } = this;
    if (!overview || !this.dialog.open) return;
    const { hostless } = this;
    show(parts.hostless, hostless);
    show(parts.trial, !hostless);
    setText(parts.registry, overview.registry.url);
    this.picture.render(this.subject, overview);
    parts.test.disabled = hostless || this.busy !== "" || !parts.source.value.trim() || !this.form.sourceChanged;
    parts.save.disabled = this.busy === "saving";
    parts.save.setAttribute("aria-busy", String(this.busy === "saving"));
  }

  async test() {
    if (!this.form.complete(false)) return;
    say(this.parts.problem, null);
    this.busy = "testing";
    const { turn } = this;
    const wish = this.form.wish();
    this.tried = wish.source;
    this.draw();
    this.parts.trial.scrollIntoView({ block: "nearest" });
    try {
      await this.trial.begin({ ...wish, name: wish.name || t("Test") });
      if (!this.dialog.open) await this.trial.end();
    } catch (error) {
      if (turn === this.turn) this.form.refused(error);
    }
    this.rest(turn);
  }

  async save() {
    if (this.busy === "saving" || !this.form.complete()) return;
    say(this.parts.problem, null);
    this.busy = "saving";
    this.draw();
    const { turn } = this;
    const { changing } = this.form;
    const wish = this.form.wish();
    try {
      if (changing) await changeCamera(changing.camera_id, wish);
      else await this.add(wish);
      if (turn === this.turn) this.dialog.close();
      const words = changing ? t("{name} is saved.", { name: wish.name }) : t("{name} is added.", { name: wish.name });
      const waits = this.hostless;
      note(waits ? t("{name} is saved. It waits for a camera host.", { name: wish.name }) : words, {
        tone: waits ? "warn" : "ok",
      });
    } catch (error) {
      if (turn === this.turn) this.form.refused(error);
      else note(sentence(/** @type {Error} */ (error).message), { tone: "bad" });
    }
    this.rest(turn);
  }

  /** What was asked in this turn is answered. @param {number} turn */
  rest(turn) {
    if (turn !== this.turn) return;
    this.busy = "";
    this.draw();
  }

  /** Save what is tried, as it is wanted now; a new one where nothing is tried. @param {any} wish */
  async add(wish) {
    const { draft } = this.trial;
    if (draft) {
      try {
        await changeCamera(draft.camera_id, { ...wish, draft: false });
        this.trial.release();
        return;
      } catch (error) {
        if (/** @type {import("../calls.js").Refused} */ (error).status !== GONE) throw error;
        this.trial.release(); // it was forgotten meanwhile, as after a computer's sleep
      }
    }
    await addCamera(wish);
  }
}
