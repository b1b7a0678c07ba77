/** What the mesh can do, as rows. */

import { partsOf, setAttribute, setText, show, stamp } from "./dom.js";
import { n, t } from "./i18n.js";
import { reconcile } from "./keyed.js";
import { isNumber, joined, rate } from "./words.js";

const NAMED = 6; // nodes told by name; more are told as a number

export class Algorithms {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.parts = partsOf(section);
  }

  /** @param {import("./overview.js").Overview} overview @param {import("./nodes/search.js").Search} search */
  render(overview, search) {
    const { list, count, empty, unfound } = this.parts;
    const all = overview.algorithms;
    const found = all.filter((one) =>
      search.finds(() => [one.id, one.name, one.category, ...(one.nodes ?? []).flatMap((/** @type {any} */ node) => [node.name, node.model])]),
    );
    const cameras = overview.nodes.some((node) => node.kind === "camera" && node.state !== "dead");
    reconcile(
      list,
      found,
      (algorithm) => String(algorithm.id),
      () => new Row(),
      (row, algorithm) => row.update(algorithm, cameras && !overview.stale),
    );
    setText(count, all.length ? String(all.length) : "");
    show(empty, overview.known && all.length === 0);
    show(unfound, all.length > 0 && found.length === 0);
  }
}

class Row {
  constructor() {
    const { root, parts } = stamp("algorithm-row");
    this.root = root;
    this.parts = parts;
  }

  /** @param {any} algorithm @param {boolean} usable there is a camera to run it on */
  update(algorithm, usable) {
    const { parts } = this;
    /** @type {any[]} */
    const nodes = algorithm.nodes ?? [];
    const id = String(algorithm.id);
    const name = String(algorithm.name ?? id);
    const fps = nodes.map((node) => node.fps).filter(isNumber);
    const models = [...new Set(nodes.map((node) => node.model).filter(Boolean))].join(", ");
    setText(parts.name, name);
    setText(parts.id, name === id ? "" : id);
    setText(parts.facts, joined([models, fps.length > 0 && t("up to {n} fps", { n: rate(Math.max(...fps)) })]));
    const names = nodes.map((node) => String(node.name));
    const more = names.length - NAMED;
    const few = names.slice(0, NAMED).join(", ");
    setText(parts.nodes, more > 1 ? t("{names} and {n} more", { names: few, n: more }) : names.join(", "));
    const free = algorithm.free_slots;
    setText(parts.free, free ? n(free, "{n} slot free", "{n} slots free") : t("no slot free"));
    setAttribute(parts.start, "href", `/?algorithm=${encodeURIComponent(id)}`);
    setAttribute(parts.start, "aria-label", t("Start {name}", { name }));
    show(parts.start, usable && free > 0);
  }
}
