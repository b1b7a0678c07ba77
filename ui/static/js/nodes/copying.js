/** A command line with a button that copies it. */

import { partsOf, setText, speak } from "../dom.js";
import { t } from "../i18n.js";

const SHOWN = 1500; // ms for which a copied line says so

/** Make a `.command` copy its text when its button is pressed. @param {HTMLElement} line */
export function offerCopy(line) {
  const { "copy-text": text, "copy-word": word, copy } = partsOf(line);
  const usual = String(word.textContent);
  copy.addEventListener("click", async () => {
    const copied = await copyOf(text);
    const said = copied ? t("Copied") : t("Press Ctrl and C to copy");
    speak(said);
    setText(word, said);
    window.setTimeout(() => setText(word, usual), SHOWN);
  });
}

/** Browsers give the clipboard to https and to this machine only; elsewhere the older way still works. */
async function copyOf(/** @type {HTMLElement} */ shown) {
  try {
    await navigator.clipboard.writeText(String(shown.textContent));
    return true;
  } catch {
    window.getSelection()?.selectAllChildren(shown);
    return document.execCommand("copy");
  }
}
