/** A short log of what came into the picture and what left it. */

import { setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { clock } from "../words.js";

const LISTED = 50; // changes
const SURE = 0.7; // by how much a second's mean must differ from what was noted: a box that flickers is no change

export class Appeared {
  /** @param {import("../dom.js").Parts} parts */
  constructor(parts) {
    this.parts = parts;
    /** @type {Map<string, number>} */
    this.noted = new Map();
    /** @type {{key: string, at: number, label: string, number: number}[]} newest first */
    this.changes = [];
    this.number = 0;
  }

  /** What a second had. @param {number} at Unix seconds @param {import("./samples.js").Counts} counts */
  note(at, counts) {
    const before = this.changes.length ? this.changes[0] : null;
    for (const label of new Set([...this.noted.keys(), ...counts.keys()])) {
      const mean = counts.get(label) ?? 0;
      const noted = this.noted.get(label) ?? 0;
      const number = Math.round(mean);
      if (number === noted || Math.abs(mean - noted) < SURE) continue;
      if (number) this.noted.set(label, number);
      else this.noted.delete(label);
      this.number += 1;
      this.changes.unshift({ key: String(this.number), at, label, number });
    }
    if (this.changes[0] === before || !this.changes.length) return;
    this.changes.length = Math.min(this.changes.length, LISTED);
    this.draw();
  }

  draw() {
    const { appeared, "appeared-count": count, "appeared-nothing": nothing } = this.parts;
    reconcile(
      appeared,
      this.changes,
      ({ key }) => key,
      ({ at, label, number }) => {
        const row = stamp("appeared-row");
        setText(row.parts.time, clock(at));
        setText(row.parts.label, label);
        setText(row.parts.number, number ? `×${number}` : t("gone"));
        return row;
      },
      () => {},
    );
    setText(count, n(this.changes.length, "{n} change", "{n} changes"));
    show(nothing, false);
  }
}
