/** The algorithms above the wall: drag one onto a tile and it runs there, or press it to choose more. */

import { partsOf, setAttribute, setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { isReachable } from "./places.js";
import { keyOf } from "./tiles.js";

const KIND = "application/x-fogline-algorithm"; // of what is dragged: nothing else is taken

export class Palette {
  /**
   * @param {import("../dom.js").Parts} parts of the wall
   * @param {import("./tiles.js").Tiles} tiles
   * @param {{onChoice: (algorithm: any) => void, onDrop: (algorithm: string, place: import("./places.js").Place) => void}} tell
   */
  constructor(parts, tiles, tell) {
    this.parts = parts;
    this.tiles = tiles;
    this.tell = tell;
    this.dragged = ""; // an algorithm's id
    this.name = "";
    /** @type {HTMLElement | null} */
    this.over = null;
    this.usable = false;
    const { list } = tiles;
    for (const kind of ["dragenter", "dragover"]) list.addEventListener(kind, (event) => this.offer(/** @type {DragEvent} */ (event)));
    list.addEventListener("dragleave", (event) => {
      if (!this.over?.contains(/** @type {Node | null} */ (event.relatedTarget))) this.mark(null);
    });
    list.addEventListener("drop", (event) => this.drop(event));
  }

  /** @param {import("../overview.js").Overview} overview */
  render(overview) {
    const { palette, "no-nodes": none } = this.parts;
    this.usable = !overview.stale;
    reconcile(
      palette,
      overview.algorithms,
      (algorithm) => String(algorithm.id),
      (algorithm) => new Chip(algorithm, this),
      (chip, algorithm) => chip.update(algorithm, this.usable),
    );
    show(palette, overview.algorithms.length > 0);
    show(none, overview.known && overview.algorithms.length === 0);
    if (!none.hidden) setText(partsOf(none).registry, overview.registry.url ?? "http://HOST:5050");
  }

  /** The place under the pointer, if it takes what is dragged. @param {EventTarget | null} target */
  placeAt(target) {
    const place = this.tiles.found.find(({ key }) => key === keyOf(target));
    return this.dragged && this.usable && place && isReachable(place) ? place : null;
  }

  /** @param {DragEvent} event */
  offer(event) {
    if (!this.placeAt(event.target)) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
    this.mark(/** @type {Element} */ (event.target).closest(".tile"));
  }

  /** @param {Element | null} tile */
  mark(tile) {
    if (tile === this.over) return;
    this.over?.classList.remove("takes");
    this.over = /** @type {HTMLElement | null} */ (tile);
    if (!this.over) return;
    this.over.classList.add("takes");
    setText(partsOf(this.over).takes, t("Start {algorithm} here", { algorithm: this.name }));
  }

  /** @param {DragEvent} event */
  drop(event) {
    const place = this.placeAt(event.target);
    const algorithm = this.dragged;
    this.mark(null);
    if (!place) return;
    event.preventDefault();
    this.tell.onDrop(algorithm, place);
  }

  /** @param {any} algorithm @param {string} name @param {DragEvent} event */
  take(algorithm, name, event) {
    this.dragged = String(algorithm.id);
    this.name = name;
    event.dataTransfer?.setData(KIND, this.dragged);
    if (event.dataTransfer) event.dataTransfer.effectAllowed = "copy";
    document.body.classList.add("dropping");
  }

  release() {
    this.dragged = "";
    this.mark(null);
    document.body.classList.remove("dropping");
  }
}

class Chip {
  /** @param {any} algorithm @param {Palette} palette */
  constructor(algorithm, palette) {
    const { root, parts } = stamp("chip");
    this.root = root;
    this.parts = parts;
    this.algorithm = algorithm;
    this.usable = false;
    const choose = () => this.usable && palette.tell.onChoice(this.algorithm);
    root.addEventListener("click", choose);
    root.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    });
    root.addEventListener("dragstart", (event) => palette.take(this.algorithm, parts.name.textContent ?? "", event));
    root.addEventListener("dragend", () => palette.release());
  }

  /** @param {any} algorithm @param {boolean} usable */
  update(algorithm, usable) {
    this.algorithm = algorithm;
    this.usable = usable;
    const free = algorithm.free_slots ?? 0;
    setText(this.parts.name, String(algorithm.name ?? algorithm.id));
    setText(this.parts.free, free ? n(free, "{n} free", "{n} free") : t("none free"));
    this.root.classList.toggle("full", !free);
    this.root.draggable = usable;
    setAttribute(this.root, "aria-disabled", String(!usable));
    setAttribute(this.root, "title", t("Drag onto a tile to start it there, or press to choose"));
  }
}
