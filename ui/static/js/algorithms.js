/** What the mesh can do, as rows. */

import { partsOf, setAttribute, setText, show, stamp } from "./dom.js";
import { reconcile } from "./keyed.js";
import { isNumber, joined, many, rate } from "./words.js";

export class Algorithms {
  /** @param {HTMLElement} section @param {(algorithm: any) => void} onStart */
  constructor(section, onStart) {
    this.parts = partsOf(section);
    this.onStart = onStart;
  }

  /** @param {import("./overview.js").Overview} overview */
  render(overview) {
    const { list, count, empty } = this.parts;
    const cameras = overview.nodes.some((node) => node.kind === "camera" && node.state !== "dead");
    reconcile(
      list,
      overview.algorithms,
      (algorithm) => String(algorithm.id),
      (algorithm) => new Row(algorithm, this.onStart),
      (row, algorithm) => row.update(algorithm, cameras && !overview.stale),
    );
    setText(count, overview.algorithms.length ? String(overview.algorithms.length) : "");
    show(empty, overview.known && overview.algorithms.length === 0);
  }
}

class Row {
  /** @param {any} algorithm @param {(algorithm: any) => void} onStart */
  constructor(algorithm, onStart) {
    const { root, parts } = stamp("algorithm-row");
    this.root = root;
    this.parts = parts;
    this.algorithm = algorithm;
    parts.start.addEventListener("click", () => onStart(this.algorithm));
  }

  /** @param {any} algorithm @param {boolean} usable there is a camera to run it on */
  update(algorithm, usable) {
    this.algorithm = algorithm;
    const { parts } = this;
    const nodes = algorithm.nodes ?? [];
    const name = String(algorithm.name ?? algorithm.id);
    const fps = nodes.map((/** @type {any} */ n) => n.fps).filter(isNumber);
    const models = [...new Set(nodes.map((/** @type {any} */ n) => n.model).filter(Boolean))];
    setText(parts.name, name);
    setText(parts.category, name === algorithm.id ? "" : String(algorithm.id));
    setText(
      parts.facts,
      joined([models.join(", "), fps.length && `up to ${rate(Math.max(...fps))} fps`, many(nodes.length, "node")]),
    );
    const free = algorithm.free_slots;
    setText(parts.free, free ? `${free} free` : "none free");
    setAttribute(parts.start, "aria-label", `Start ${name}`);
    parts.start.disabled = !usable;
  }
}
