/** The dialog that shows a secret, once: when it is closed, the page has forgotten it. */

import { partsOf, setText, show, stamp } from "../dom.js";
import { offerCopy } from "../nodes/copying.js";

export class Once {
  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.dialog = dialog;
    this.parts = partsOf(dialog);
    this.parts.close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      if (dialog.open) return; // browsers say it a frame later, when the next secret may be shown
      for (const part of ["title", "words"]) setText(this.parts[part], "");
      this.parts.lines.replaceChildren();
    });
  }

  /** @param {{title: string, words: string, lines: {name?: string, text: string}[]}} told the first line is the secret itself */
  tell({ title, words, lines }) {
    setText(this.parts.title, title);
    setText(this.parts.words, words);
    this.parts.lines.replaceChildren(
      ...lines.map(({ name, text }) => {
        const { root, parts } = stamp("once-line");
        setText(parts["copy-text"], text);
        offerCopy(root);
        if (!name) return root;
        const group = document.createElement("div");
        const label = document.createElement("p");
        label.className = "quiet name";
        setText(label, name);
        group.append(label, root);
        return group;
      }),
    );
    this.dialog.showModal();
    show(this.parts.problem, false);
    /** @type {HTMLElement | null} */ (this.parts.lines.querySelector("button"))?.focus();
  }
}
