/** Cameras that answered on the network, to pick one from. */

import { getDiscovered } from "../calls.js";
import { say, setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { joined, sentence } from "../words.js";

/** @typedef {{name: string, hardware: string, location: string, address: string, xaddrs: string[], already: string | null}} Candidate */

export class Candidates {
  /** @param {import("../dom.js").Parts} parts @param {(candidate: Candidate) => void} onPick */
  constructor(parts, onPick) {
    this.parts = parts;
    this.onPick = onPick;
    this.turn = 0;
    parts.look.addEventListener("click", () => this.look());
  }

  /** Forget what was found. */
  clear() {
    this.turn += 1;
    this.parts.found.replaceChildren();
    this.busy(false);
    say(this.parts["found-words"], null);
  }

  async look() {
    this.clear();
    const { turn } = this;
    this.busy(true);
    let words;
    try {
      const { cameras, problems = [] } = await getDiscovered();
      if (turn !== this.turn) return;
      this.parts.found.replaceChildren(...cameras.map((/** @type {Candidate} */ one) => this.option(one)));
      words = cameras.length
        ? n(cameras.length, "{n} camera answered. Pick it to fill in its address.", "{n} cameras answered. Pick one to fill in its address.")
        : problems.length
          ? sentence(String(problems[0]))
          : t("No camera answered where the registry is. Many have ONVIF switched off: their address works all the same.");
    } catch (error) {
      if (turn !== this.turn) return;
      words = sentence(/** @type {Error} */ (error).message);
    }
    this.busy(false);
    say(this.parts["found-words"], words);
  }

  /** @param {boolean} on */
  busy(on) {
    show(this.parts.searching, on);
    this.parts.look.disabled = on;
  }

  /** @param {Candidate} candidate */
  option(candidate) {
    const { root, parts } = stamp("candidate");
    const { name, hardware, location, address, xaddrs, already } = candidate;
    setText(parts.name, name);
    setText(parts.note, joined([address, hardware !== name && hardware, location]));
    setText(parts.already, already ? t("is here already as {name}", { name: already }) : "");
    parts.pick.title = xaddrs.join("\n");
    parts.pick.addEventListener("click", () => this.onPick(candidate));
    return root;
  }
}
