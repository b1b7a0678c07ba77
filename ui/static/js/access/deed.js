/** A button that asks, where it stands, before it does something for good. */

import { partsOf, say, setText, show, speak } from "../dom.js";
import { sentence } from "../words.js";

export class Deed {
  /**
   * @param {HTMLElement} root a `.deed`
   * @param {{question: () => string, act: () => Promise<void>}} how
   */
  constructor(root, { question, act }) {
    this.parts = partsOf(root);
    this.act = act;
    const { ask, yes, no } = this.parts;
    ask.addEventListener("click", () => {
      setText(this.parts.question, question());
      this.open(true);
      no.focus();
      this.parts.sure.scrollIntoView({ block: "nearest" });
      speak(question());
    });
    no.addEventListener("click", () => this.close());
    yes.addEventListener("click", () => this.go());
    root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.parts.sure.hidden) return;
      event.preventDefault(); // it takes the question back, and closes no dialog around it
      this.close();
    });
  }

  /** @param {boolean} on */
  open(on) {
    show(this.parts.sure, on);
    show(this.parts.ask, !on);
    say(this.parts.refusal, null);
  }

  close() {
    const had = this.parts.sure.contains(document.activeElement);
    this.open(false);
    if (had) this.parts.ask.focus();
  }

  async go() {
    const { yes, refusal } = this.parts;
    yes.disabled = true;
    try {
      await this.act();
      this.open(false);
    } catch (error) {
      say(refusal, `${sentence(/** @type {Error} */ (error).message)}.`);
    }
    yes.disabled = false;
    // A button that is gone or disabled loses the focus, and the keyboard its place.
    if (document.activeElement === document.body) (yes.getClientRects().length ? yes : document.getElementById("main"))?.focus({ preventScroll: true });
  }
}
