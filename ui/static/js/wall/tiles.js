/** The grid of tiles: which are shown, how large, in which order, and which one is selected. */

import { setText, show } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { can } from "../me.js";
import { gridOf, keepLayout, lastLayout, pageSize } from "./layout.js";
import { Order } from "./order.js";
import { isMeant, isReachable, placesOf } from "./places.js";
import { Tile } from "./tile.js";

const NARROW = window.matchMedia("(max-width: 40rem)");

/** @typedef {import("./places.js").Place} Place */

export class Tiles {
  /** @param {import("../dom.js").Parts} parts of the wall @param {import("./tile.js").Tell} tell */
  constructor(parts, tell) {
    this.parts = parts;
    this.list = /** @type {HTMLElement} */ (parts.list);
    this.tell = tell;
    this.order = new Order();
    this.layout = lastLayout();
    this.page = 0;
    this.selected = "";
    /** @type {string[]} */
    this.words = []; // searched for
    this.held = false; // while somebody drags a tile, the others stay where they are
    /** @type {import("../overview.js").Overview | null} */
    this.overview = null;
    /** @type {Place[]} */
    this.places = [];
    /** @type {Place[]} */
    this.found = [];
    /** @type {Map<string, Tile>} */
    this.tiles = new Map();
    this.list.addEventListener("focusin", (event) => this.select(keyOf(event.target)));
    this.list.addEventListener("click", (event) => this.select(keyOf(event.target)));
    parts.previous.addEventListener("click", () => this.turn(-1));
    parts.next.addEventListener("click", () => this.turn(1));
    new ResizeObserver(() => this.fit()).observe(parts.room);
  }

  /** @param {import("../overview.js").Overview} overview */
  render(overview) {
    this.overview = overview;
    this.places = this.order.sorted(placesOf(overview));
    this.show();
  }

  /** Show what is known as it shall be shown now. */
  show() {
    const { overview } = this;
    if (!overview) return;
    this.found = this.words.length ? this.places.filter((place) => isMeant(place, this.words)) : this.places;
    const size = pageSize(this.layout);
    const pages = Math.max(1, Math.ceil(this.found.length / size));
    this.page = Math.min(this.page, pages - 1);
    const from = pages > 1 ? this.page * size : 0;
    const shown = this.held ? this.found.filter(({ key }) => this.tiles.has(key)) : this.found.slice(from, from + size);
    if (!shown.some(({ key }) => key === this.selected)) {
      this.selected = (shown.find((place) => place.session || isReachable(place)) ?? shown[0])?.key ?? "";
    }
    const usable = can("operate") && !overview.stale;
    if (this.held) for (const place of shown) this.tiles.get(place.key)?.update(place, usable);
    else this.place(shown, usable);
    for (const [key, tile] of this.tiles) tile.select(key === this.selected);
    this.tellPage(pages, from, shown.length);
    this.fit();
  }

  /** @param {Place[]} shown @param {boolean} usable */
  place(shown, usable) {
    const hadFocus = this.list.contains(document.activeElement);
    reconcile(
      this.list,
      shown,
      ({ key }) => key,
      (place) => {
        const tile = new Tile(place, this.tell);
        this.tiles.set(place.key, tile);
        return tile;
      },
      (tile, place) => tile.update(place, usable),
    );
    const keys = new Set(shown.map(({ key }) => key));
    for (const key of this.tiles.keys()) if (!keys.has(key)) this.tiles.delete(key);
    if (hadFocus && !this.list.contains(document.activeElement)) this.tiles.get(this.selected)?.root.focus();
  }

  /** @param {number} pages @param {number} from @param {number} count */
  tellPage(pages, from, count) {
    const { pager, range, previous, next, nothing } = this.parts;
    show(pager, pages > 1);
    const all = this.found.length;
    setText(range, count > 1 ? t("{from}–{to} of {all}", { from: from + 1, to: from + count, all }) : t("{n} of {all}", { n: from + 1, all }));
    previous.disabled = this.page === 0;
    next.disabled = this.page >= pages - 1;
    show(nothing, this.places.length > 0 && this.found.length === 0);
    setText(nothing, n(this.places.length, "{n} tile is here, and none matches what you look for. Escape shows it again.", "{n} tiles are here, and none matches what you look for. Escape shows them again."));
  }

  /** Make the pictures as large as the window allows. */
  fit() {
    const { list, layout } = this;
    const { room } = this.parts;
    list.dataset.layout = layout;
    document.body.classList.toggle("fits", layout !== "all");
    list.classList.toggle("dense", layout === "16" || (layout === "all" && NARROW.matches));
    if (layout === "all" || NARROW.matches || !this.tiles.size) {
      list.style.gridTemplateColumns = list.style.gridAutoRows = "";
      return;
    }
    const size = pageSize(layout);
    const gap = Number.parseFloat(getComputedStyle(list).rowGap) || 0;
    const inner = getComputedStyle(room);
    const height = room.clientHeight - Number.parseFloat(inner.paddingTop) - Number.parseFloat(inner.paddingBottom);
    const caption = list.querySelector(".caption")?.clientHeight ?? 0;
    const count = this.found.length > size ? size : this.tiles.size;
    const { columns, row } = gridOf(count, { width: list.clientWidth, height, gap, caption });
    list.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    list.style.gridAutoRows = `${Math.floor(row)}px`;
  }

  // --- what people do

  /** @param {string} layout */
  choose(layout) {
    const at = this.found.findIndex(({ key }) => key === this.selected);
    this.layout = layout;
    this.page = layout === "all" ? 0 : Math.floor(Math.max(0, at) / pageSize(layout)); // the selected tile stays in view
    keepLayout(layout);
    this.show();
  }

  /** @param {string} text */
  search(text) {
    this.words = text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    this.page = 0;
    this.show();
  }

  /** @param {string} key "" for none @param {boolean} [focus] the keyboard goes there too */
  select(key, focus = false) {
    const tile = this.tiles.get(key);
    if (!tile) return;
    this.selected = key;
    for (const [other, one] of this.tiles) one.select(other === key);
    if (focus) {
      tile.root.focus({ preventScroll: true });
      tile.root.scrollIntoView({ block: "nearest" });
    }
  }

  get current() {
    return this.tiles.get(this.selected) ?? null;
  }

  /** @param {number} by pages */
  turn(by) {
    if (this.found.length <= pageSize(this.layout)) return;
    this.page = Math.max(0, this.page + by);
    this.selected = "";
    this.show();
  }

  /** The keys as they stand on the screen now, by columns. */
  columns() {
    const tops = [...this.list.children].map((tile) => /** @type {HTMLElement} */ (tile).offsetTop);
    return Math.max(1, tops.filter((top) => top === tops[0]).length);
  }

  /** The key of the place so many columns and rows away; "" where there is none. @param {number} right @param {number} down */
  beside(right, down) {
    const at = this.found.findIndex(({ key }) => key === this.selected);
    return this.found[at + right + down * this.columns()]?.key ?? "";
  }

  /** @param {number} right @param {number} down */
  step(right, down) {
    const key = this.beside(right, down);
    if (!key) return;
    if (!this.tiles.has(key)) {
      this.page = Math.floor(this.found.findIndex((place) => place.key === key) / pageSize(this.layout));
      this.selected = key;
      this.show();
    }
    this.select(key, true);
  }

  /** Move the selected tile. @param {number} right @param {number} down */
  shift(right, down) {
    const target = this.beside(right, down);
    if (!target) return;
    const keys = this.found.map(({ key }) => key);
    const forward = keys.indexOf(target) > keys.indexOf(this.selected);
    this.arrange(this.selected, forward ? (keys[keys.indexOf(target) + 1] ?? null) : target);
    this.page = Math.floor(this.found.findIndex(({ key }) => key === this.selected) / pageSize(this.layout)) || 0;
    this.show();
    this.select(this.selected, true);
  }

  /** @param {string} key @param {string | null} before the key that it shall stand before, null for the end */
  arrange(key, before) {
    const keys = this.places.map((place) => place.key);
    const last = this.found[this.found.length - 1]?.key;
    // Behind the last of those that are shown: others that a search hides may follow.
    const next = before ?? keys[keys.indexOf(last) + 1] ?? null;
    this.order.move(key, next, keys);
    this.places = this.order.sorted(this.places);
    this.found = this.words.length ? this.places.filter((place) => isMeant(place, this.words)) : this.places;
  }
}

/** The key of the tile in which an element is. @param {EventTarget | null} target */
export function keyOf(target) {
  const tile = /** @type {HTMLElement | null} */ (/** @type {Element | null} */ (target)?.closest?.(".tile"));
  return tile?.dataset.key ?? "";
}
