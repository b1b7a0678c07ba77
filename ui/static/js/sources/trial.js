/** A camera that is tried before it is saved: a draft, which the registry forgets unless it hears of it. */

import { addCamera, changeCamera, removeCamera } from "../calls.js";

const REMIND = 45_000; // ms between two words about a draft, which is forgotten two minutes after the last one
const FORGOTTEN = 404;

export class Trial {
  constructor() {
    /** @type {any} the draft as the registry answered, null while nothing is tried */
    this.draft = null;
    this.turn = 0; // answers to what was asked before the last turn come too late
    this.timer = 0;
    window.addEventListener("pagehide", () => this.end());
  }

  /**
   * Try this in place of what was tried before. Throws Refused.
   * @param {import("../calls.js").CameraWish} wish
   */
  async begin(wish) {
    const ended = this.end();
    const { turn } = this;
    await ended; // first: the host's last place may be the one that it had
    if (turn !== this.turn) return;
    const draft = await addCamera({ ...wish, draft: true });
    if (turn !== this.turn) {
      forget(draft.camera_id);
      return;
    }
    this.draft = draft;
    this.timer = window.setInterval(() => this.remind(), REMIND);
  }

  /** It is a draft no more, or not ours any more. */
  release() {
    this.turn += 1;
    this.draft = null;
    window.clearInterval(this.timer);
  }

  /** Try nothing any more. */
  async end() {
    const id = this.draft?.camera_id;
    this.release();
    if (id) await forget(id);
  }

  async remind() {
    const { turn } = this;
    try {
      await changeCamera(this.draft.camera_id, {});
    } catch (error) {
      const { status } = /** @type {import("../calls.js").Refused} */ (error);
      if (status === FORGOTTEN && turn === this.turn) this.release();
    }
  }
}

/** @param {string} id */
async function forget(id) {
  try {
    await removeCamera(id);
  } catch {
    // Then it is forgotten in two minutes.
  }
}
