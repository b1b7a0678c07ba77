/** A list of the server's: loading, broken, empty, or a table of rows that stay while they change. */

import { partsOf, say, setText, show } from "../dom.js";
import { sentence } from "../words.js";

/** @template T */
export class Section {
  /**
   * @param {HTMLElement} root
   * @param {{read: () => Promise<T[]>, draw: (items: T[]) => number}} how draw: fills the table and says how many rows it has
   */
  constructor(root, how) {
    this.parts = partsOf(root);
    this.how = how;
    /** @type {T[]} */
    this.items = [];
    this.known = false;
    this.reading = false;
  }

  /** Read the list, now or as soon as the reading under way is done. */
  async read() {
    if (this.reading) {
      this.again = true;
      return;
    }
    this.reading = true;
    do {
      this.again = false;
      try {
        this.items = await this.how.read();
        this.known = true;
        say(this.parts.problem, null);
        this.draw();
      } catch (error) {
        say(this.parts.problem, `${sentence(/** @type {Error} */ (error).message)}.`);
      }
      show(this.parts.waiting, false);
    } while (this.again);
    this.reading = false;
  }

  draw() {
    if (!this.known) return;
    const { table, empty, count } = this.parts;
    const rows = this.how.draw(this.items);
    show(table, rows > 0);
    show(empty, rows === 0);
    setText(count, rows ? String(rows) : "");
  }
}
